import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, stat, truncate, unlink } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Clock } from "../clock.ts";
import { ApplianceError } from "../errors.ts";
import { syncPath } from "../net/sync-path.ts";
import { CHAIN_START, forgeLink, parseLink } from "../values/hash-chain.ts";
import type { AuditEntry, AuditNote } from "./audit-entry.ts";

const FILE_BYTES = 16 * 1024 * 1024;
const NAME = /^\d{12}\.jsonl$/;

type Options = { directory: string; clock: Clock; maxBytes: number; fileBytes?: number };
type Waiting = {
  line: string;
  seq: number;
  hash: string;
  written: () => void;
  failed: (error: ApplianceError) => void;
};

/**
 * Who did what, from where, and what came of it: a chain of JSON lines, each with the hash of the one before it, in files
 * named after their first line's number. Only ever appended to; the oldest files go when all are longer than `maxBytes`.
 */
export class AuditLog {
  readonly #options: Options;
  #file: FileHandle | undefined;
  #bytes = 0;
  #seq = 0;
  #hash = CHAIN_START;
  /** The end of the chain on the disk. */
  #written = { seq: 0, hash: CHAIN_START };
  #waiting: Waiting[] = [];
  #isWriting = false;
  #idle: Promise<void> = Promise.resolve();
  /** The disk took neither an entry nor its end back. */
  #broken: ApplianceError | undefined;

  private constructor(options: Options) {
    this.#options = options;
  }

  /**
   * Opens the log and goes on where it ends. A torn last line, of a request that nobody got an answer to, is cut; where the last
   * line is damaged otherwise, a gap is noted and a new chain begins: that must not keep nodes from booting.
   */
  static async open(options: Options): Promise<AuditLog> {
    const log = new AuditLog(options);
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const newest = (await log.#files()).at(-1);
    const why = newest === undefined ? undefined : await log.#resume(newest);
    log.#written = { seq: log.#seq, hash: log.#hash };
    await log.#begin(newest !== undefined && why === undefined ? newest : undefined);
    if (why !== undefined) await log.append({ kind: "gap", why });
    return log;
  }

  /** Writes an entry; resolves when it is on disk. UNAVAILABLE when the disk refuses. */
  append(note: AuditNote): Promise<void> {
    if (this.#broken) return Promise.reject(this.#broken);
    const entry = { seq: this.#seq + 1, at: new Date(this.#options.clock.now()).toISOString(), ...note };
    const { line, hash } = forgeLink(entry, this.#hash);
    this.#seq += 1;
    this.#hash = hash;
    const done = new Promise<void>((written, failed) =>
      this.#waiting.push({ line, seq: entry.seq, hash, written, failed }),
    );
    if (!this.#isWriting) this.#idle = this.#write();
    return done;
  }

  /** All lines, oldest first, as they are in the files. */
  async *lines(): AsyncGenerator<string> {
    for (const name of await this.#files()) yield* this.#linesOf(name);
  }

  /** The last entries that `fits` takes, newest first. */
  async last(limit: number, fits: (entry: AuditEntry) => boolean): Promise<AuditEntry[]> {
    const found: AuditEntry[] = [];
    for (const name of (await this.#files()).reverse()) {
      const here: AuditEntry[] = [];
      for await (const line of this.#linesOf(name)) {
        const entry = parseLink(line)?.value as AuditEntry | undefined;
        if (!entry || !fits(entry)) continue;
        here.push(entry);
        if (here.length > limit - found.length) here.shift();
      }
      found.push(...here.reverse());
      if (found.length === limit) break;
    }
    return found;
  }

  /** Piece by piece: the boot servers share the event loop. */
  async *#linesOf(name: string): AsyncGenerator<string> {
    const input = createReadStream(join(this.#options.directory, name), "utf8");
    try {
      for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) yield line;
    } catch (error) {
      // the oldest go while somebody reads
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  async close(): Promise<void> {
    await this.#idle;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    // whatever else is appended in this turn shares the write
    await undefined;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      try {
        if (this.#bytes >= (this.#options.fileBytes ?? FILE_BYTES)) await this.#rotate(batch);
        const bytes = Buffer.from(batch.map(({ line }) => `${line}\n`).join(""));
        await this.#file?.appendFile(bytes);
        await this.#file?.datasync();
        this.#bytes += bytes.length;
        this.#written = batch.at(-1) as Waiting;
        for (const { written } of batch) written();
      } catch (cause) {
        await this.#takeBack(batch, cause);
      }
    }
    this.#isWriting = false;
  }

  /** Cuts off what may be half on the disk: the next entry follows the last one that is whole. */
  async #takeBack(batch: Waiting[], cause: unknown): Promise<void> {
    const error = new ApplianceError("UNAVAILABLE", "the audit log can't be written: nothing is changed unaudited", {
      details: { remedy: `make room for ${this.#options.directory}, or mend its disk` },
      cause,
    });
    await this.#file?.truncate(this.#bytes).catch(() => {
      this.#broken = error;
    });
    this.#seq = this.#written.seq;
    this.#hash = this.#written.hash;
    for (const { failed } of [...batch, ...this.#waiting.splice(0)]) failed(error);
  }

  async #rotate(batch: Waiting[]): Promise<void> {
    const full = this.#file;
    await this.#begin(nameOf(batch[0]?.seq ?? this.#seq));
    await full?.close();
    const { directory, maxBytes } = this.#options;
    const files = await Promise.all(
      (await this.#files()).map(async (name) => ({
        path: join(directory, name),
        ...(await stat(join(directory, name))),
      })),
    );
    let bytes = files.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of files.slice(0, -1)) {
      if (bytes <= maxBytes) break;
      await unlink(path);
      bytes -= size;
    }
  }

  async #begin(name = nameOf(this.#seq + 1)): Promise<void> {
    const { directory } = this.#options;
    const file = await open(join(directory, name), "a", 0o600);
    await syncPath(directory);
    this.#file = file;
    this.#bytes = (await file.stat()).size;
  }

  /** Takes up the chain at the end of a file; what is wrong with it where it can't. */
  async #resume(name: string): Promise<string | undefined> {
    const path = join(this.#options.directory, name);
    const text = await readFile(path, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole !== text) await truncate(path, Buffer.byteLength(whole));
    const line = whole.trimEnd().split("\n").at(-1) ?? "";
    const first = Number.parseInt(name, 10);
    const last = parseLink(line);
    this.#seq = Math.max(first, Number(last?.value.seq) || 0);
    if (last) this.#hash = last.hash;
    else if (line === "") return this.#resumeBehind(name);
    else return `the last line of ${name} is damaged`;
    return undefined;
  }

  /** An empty file: the one before it has the end of the chain. */
  async #resumeBehind(name: string): Promise<string | undefined> {
    const before = (await this.#files()).filter((one) => one < name).at(-1);
    const why = before === undefined ? undefined : await this.#resume(before);
    if (before === undefined) this.#seq = Number.parseInt(name, 10) - 1;
    return why;
  }

  async #files(): Promise<string[]> {
    return (await readdir(this.#options.directory)).filter((name) => NAME.test(name)).sort();
  }
}

function nameOf(seq: number): string {
  return `${String(seq).padStart(12, "0")}.jsonl`;
}
