import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFully } from "../values/write-fully.ts";
import type { LogDisk } from "./log-disk.ts";

const NAME = /^(\d{15})\.log$/;
/** What waits for the disk; more is dropped. */
const MAX_PENDING = 256 * 1024;

type Segment = { start: number; sizeBytes: number };

/**
 * What a serial line said, in two files at most, the older one full: `maxBytes` together. Bytes are counted from the first
 * that ever came, and files are named after their first byte, so that a place in the log stays one over restarts and
 * however much of its begin is gone.
 */
export class ConsoleLog {
  readonly #directory: string;
  readonly #disk: LogDisk;
  readonly #segmentBytes: number;
  readonly #onTrouble: (error: unknown) => void;
  #segments: Segment[] = [];
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  /** Written at this moment. */
  #flyingBytes = 0;

  private constructor(options: {
    directory: string;
    disk: LogDisk;
    maxBytes: number;
    onTrouble(error: unknown): void;
  }) {
    this.#directory = options.directory;
    this.#disk = options.disk;
    this.#segmentBytes = Math.floor(options.maxBytes / 2);
    this.#onTrouble = options.onTrouble;
  }

  /** The log of a directory, which need not be there. `onTrouble` hears why the disk took nothing. */
  static async open(options: {
    directory: string;
    disk: LogDisk;
    maxBytes: number;
    onTrouble(error: unknown): void;
  }): Promise<ConsoleLog> {
    const log = new ConsoleLog(options);
    await options.disk.inTurn(() => log.#look());
    return log;
  }

  /** Of the first byte that is kept. */
  get start(): number {
    return this.#segments[0]?.start ?? 0;
  }

  /** Of the next byte that comes. */
  get end(): number {
    return this.#fileEnd + this.#flyingBytes + this.#pendingBytes;
  }

  /** Takes bytes, to be written soon; false where too many wait already. */
  append(bytes: Uint8Array): boolean {
    if (this.#pendingBytes + bytes.length > Math.min(MAX_PENDING, this.#segmentBytes)) return false;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pending.length === 1) void this.#disk.inTurn(() => this.#write()).catch(this.#onTrouble);
    return true;
  }

  /** The bytes between two places, as far as they are kept. Whatever came before this call is among them. */
  read(from: number, to: number): Promise<Buffer> {
    return this.#disk.inTurn(async () => {
      const parts: Buffer[] = [];
      for (const { start, sizeBytes } of this.#segments) {
        const [first, last] = [Math.max(from, start), Math.min(to, start + sizeBytes)];
        if (first >= last) continue;
        const file = await open(this.#path(start), "r");
        try {
          const { buffer, bytesRead } = await file.read(Buffer.alloc(last - first), 0, last - first, first - start);
          parts.push(buffer.subarray(0, bytesRead));
        } finally {
          await file.close();
        }
      }
      return Buffer.concat(parts);
    });
  }

  /** Resolves when all that was taken is written, or lost to a disk that refuses. */
  settled(): Promise<void> {
    return this.#disk.inTurn(async () => {});
  }

  get #fileEnd(): number {
    const last = this.#segments.at(-1);
    return last ? last.start + last.sizeBytes : 0;
  }

  #path(start: number): string {
    return join(this.#directory, `${String(start).padStart(15, "0")}.log`);
  }

  async #look(): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    const starts = names.flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
    for (const start of starts.sort((one, other) => one - other)) {
      this.#segments.push({ start, sizeBytes: (await stat(this.#path(start))).size });
    }
  }

  /** Everything that waits, at once. A disk that refuses loses it: nobody is held up for a log. */
  async #write(): Promise<void> {
    const batch = Buffer.concat(this.#pending.splice(0));
    this.#pendingBytes = 0;
    this.#flyingBytes = batch.length;
    try {
      if (!(await this.#disk.hasRoom())) return;
      const segment = await this.#segmentFor(batch.length);
      const file = await open(this.#path(segment.start), "a", 0o600);
      try {
        await writeFully(file, batch);
      } finally {
        segment.sizeBytes = (await file.stat()).size;
        await file.close();
      }
    } finally {
      this.#flyingBytes = 0;
    }
  }

  async #segmentFor(length: number): Promise<Segment> {
    const last = this.#segments.at(-1);
    if (last && last.sizeBytes + length <= this.#segmentBytes) return last;
    if (!last) await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    // first: its room may be what the new one needs
    for (const { start } of this.#segments.slice(0, -1)) {
      await rm(this.#path(start), { force: true });
      this.#segments.shift();
    }
    const next = { start: this.#fileEnd, sizeBytes: 0 };
    this.#segments.push(next);
    return next;
  }
}
