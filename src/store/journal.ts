import { type FileHandle, open, readdir, readFile, truncate, unlink } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ApplianceError } from "../errors.ts";
import { isNoRoom } from "../net/preallocate.ts";
import { syncPath } from "../net/sync-path.ts";
import type { Change } from "./records.ts";

/** One commit as the journal keeps it. `seq` rises by one with each. */
export type JournalEntry = { seq: number; changes: Change[] };

/**
 * The write-ahead journal: JSON lines in segments named after their first `seq`.
 * Commits that arrive while one write is under way share the next write and its fdatasync (group commit).
 */
export interface Journal {
  /** Queues one entry. Exactly one of the callbacks is called: `durable` in order of `seq`; `failed` newest first, so that callers can take back in reverse. */
  append(entry: JournalEntry, durable: () => void, failed: (error: ApplianceError) => void): void;
  /** Bytes in the newest segment. */
  readonly segmentBytes: number;
  /** Begins a new segment; resolves when every entry before `nextSeq` is durable in older ones. */
  rotate(nextSeq: number): Promise<void>;
  /** Deletes the segments that hold only entries before `seq`. */
  dropBefore(seq: number): Promise<void>;
  close(): Promise<void>;
}

/** An entry to write, or a new segment to begin once everything before it is durable. */
type Pending =
  | { kind: "entry"; line: string; durable: () => void; failed: (error: ApplianceError) => void }
  | { kind: "rotate"; segment: string; durable: () => void; failed: (error: ApplianceError) => void };

/**
 * Opens the journal in `directory` (which exists) and hands every entry found to `replay`, oldest first, behind an empty
 * one that stands for those that were dropped.
 * A torn tail, as a crash leaves it, is cut and told to `warn`; any other damage is CORRUPT with file and line.
 * `makeRoom` is asked when the disk is full: true means that there is room now, and the write is tried once more.
 */
export async function openJournal(
  directory: string,
  replay: (entry: JournalEntry) => void,
  warn: (facts: { file: string; line: number; bytes: number }) => void,
  makeRoom: () => Promise<boolean> = async () => false,
): Promise<Journal> {
  const segments = (await readdir(directory)).filter((file) => /^\d{16}\.jsonl$/.test(file)).sort();
  let last = 0;
  for (const [index, name] of segments.entries()) {
    const file = join(directory, name);
    const isNewest = index === segments.length - 1;
    const { entries, goodBytes, tornLine, tornBytes } = parseSegment(file, await readFile(file), isNewest);
    if (tornBytes > 0) {
      warn({ file, line: tornLine, bytes: tornBytes });
      await truncate(file, goodBytes);
    }
    // the name remembers how far the numbers went when the entries before it were dropped
    if (last === 0) replay({ seq: Number.parseInt(name, 10) - 1, changes: [] });
    for (const entry of entries) {
      if (last !== 0 && entry.seq !== last + 1) {
        throw damaged(file, `entry ${entry.seq} follows entry ${last}`);
      }
      last = entry.seq;
      replay(entry);
    }
  }
  const newest = segments.at(-1) ?? segmentName(last + 1);
  const journal = new FileJournal(directory, newest, makeRoom);
  await journal.openSegment();
  return journal;
}

class FileJournal implements Journal {
  readonly #directory: string;
  readonly #makeRoom: () => Promise<boolean>;
  #segment: string;
  #file: FileHandle | undefined;
  #bytes = 0;
  #pending: Pending[] = [];
  #flushing = false;
  #idle = Promise.resolve();
  #broken: ApplianceError | undefined;

  constructor(directory: string, segment: string, makeRoom: () => Promise<boolean>) {
    this.#directory = directory;
    this.#makeRoom = makeRoom;
    this.#segment = segment;
  }

  get segmentBytes(): number {
    return this.#bytes;
  }

  async openSegment(): Promise<void> {
    this.#file = await open(join(this.#directory, this.#segment), "a", 0o600);
    this.#bytes = (await this.#file.stat()).size;
    await syncPath(this.#directory);
  }

  append(entry: JournalEntry, durable: () => void, failed: (error: ApplianceError) => void): void {
    this.#enqueue({ kind: "entry", line: formatEntry(entry), durable, failed });
  }

  rotate(nextSeq: number): Promise<void> {
    return new Promise((durable, failed) => {
      this.#enqueue({ kind: "rotate", segment: segmentName(nextSeq), durable, failed });
    });
  }

  #enqueue(one: Pending): void {
    this.#pending.push(one);
    if (!this.#flushing) this.#idle = this.#flush();
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    // whatever else is queued in this turn shares the first write
    await undefined;
    while (this.#pending.length > 0) {
      const batch = this.#takeBatch();
      try {
        if (this.#broken) throw this.#broken;
        const first = batch[0] as Pending;
        if (first.kind === "rotate") await this.#beginSegment(first.segment);
        else await this.#write(batch.map((one) => (one.kind === "entry" ? one.line : "")).join(""));
      } catch (error) {
        // entries queued behind a failed write were decided on top of it: they fail too; none needs a new segment
        const isWrite = batch[0]?.kind === "entry";
        const lost = isWrite ? [...batch, ...this.#pending.splice(0)] : batch;
        for (const one of lost.reverse()) one.failed(toUnavailable(error));
        continue;
      }
      for (const one of batch) one.durable();
    }
    // in the same turn as the last look at the queue, so that nothing can be queued unseen in between
    this.#flushing = false;
  }

  /** All entries that wait, up to the next rotation; or that rotation alone. */
  #takeBatch(): Pending[] {
    const rotation = this.#pending.findIndex((one) => one.kind === "rotate");
    const count = rotation === -1 ? this.#pending.length : Math.max(rotation, 1);
    return this.#pending.splice(0, count);
  }

  async #beginSegment(segment: string): Promise<void> {
    const old = this.#file as FileHandle;
    this.#segment = segment;
    try {
      await this.openSegment();
    } finally {
      if (this.#file !== old) await old.close();
    }
  }

  async #write(text: string): Promise<void> {
    const buffer = Buffer.from(text);
    try {
      await this.#appendWhole(buffer);
    } catch (error) {
      if (this.#broken || !isNoRoom(error) || !(await this.#makeRoom())) throw error;
      await this.#appendWhole(buffer);
    }
    try {
      await (this.#file as FileHandle).datasync();
    } catch (error) {
      // after a failed sync the kernel may have dropped the pages: nothing after this can be trusted
      this.#broken = toUnavailable(error);
      throw error;
    }
    this.#bytes += buffer.length;
  }

  async #appendWhole(buffer: Buffer): Promise<void> {
    const file = this.#file as FileHandle;
    try {
      await file.appendFile(buffer);
    } catch (error) {
      // half a line must not stand before the next good one
      await file.truncate(this.#bytes).catch((cause) => {
        this.#broken = toUnavailable(cause);
      });
      throw error;
    }
  }

  async dropBefore(seq: number): Promise<void> {
    const segments = (await readdir(this.#directory)).filter((file) => file.endsWith(".jsonl")).sort();
    for (const [index, name] of segments.entries()) {
      const next = segments[index + 1];
      if (next !== undefined && Number.parseInt(next, 10) <= seq) await unlink(join(this.#directory, name));
    }
    await syncPath(this.#directory);
  }

  async close(): Promise<void> {
    while (this.#flushing) await this.#idle;
    await this.#file?.close();
    this.#broken = new ApplianceError("UNAVAILABLE", "the store is closed");
  }
}

function segmentName(firstSeq: number): string {
  return `${String(firstSeq).padStart(16, "0")}.jsonl`;
}

function formatEntry(entry: JournalEntry): string {
  const changes = JSON.stringify(entry.changes);
  return `{"seq":${entry.seq},"crc":${crc32(changes)},"changes":${changes}}\n`;
}

/** The entry of one line, or undefined when the line is not whole. */
function parseEntry(line: string): JournalEntry | undefined {
  try {
    const { seq, crc, changes } = JSON.parse(line) as JournalEntry & { crc: number };
    return Number.isSafeInteger(seq) && crc32(JSON.stringify(changes)) === crc ? { seq, changes } : undefined;
  } catch {
    return undefined;
  }
}

function parseSegment(file: string, content: Buffer, isNewest: boolean) {
  const entries: JournalEntry[] = [];
  let goodBytes = 0;
  let tornLine = 0;
  for (let start = 0, line = 1; start < content.length; line++) {
    const newline = content.indexOf(0x0a, start);
    const end = newline === -1 ? content.length : newline;
    const entry = newline === -1 ? undefined : parseEntry(content.toString("utf8", start, end));
    if (entry && tornLine !== 0) throw damaged(`${file}:${tornLine}`, "a damaged line stands before good ones");
    if (entry) {
      entries.push(entry);
      goodBytes = end + 1;
    } else if (tornLine === 0) {
      tornLine = line;
    }
    start = end + 1;
  }
  if (tornLine !== 0 && !isNewest) throw damaged(`${file}:${tornLine}`, "a damaged line ends an older segment");
  return { entries, goodBytes, tornLine, tornBytes: content.length - goodBytes };
}

function damaged(where: string, what: string): ApplianceError {
  return new ApplianceError("CORRUPT", `the journal is damaged at ${where}: ${what}`, {
    details: {
      value: where,
      remedy: "restore the state directory from a backup, or move the file away to lose what it holds",
    },
  });
}

function toUnavailable(error: unknown): ApplianceError {
  if (error instanceof ApplianceError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ApplianceError("UNAVAILABLE", `the journal can't be written: ${reason}`, {
    cause: error,
    details: {
      remedy: isNoRoom(error)
        ? "free space on the disk that holds the state directory"
        : "see why that disk refuses (dmesg), then restart ingotd",
    },
  });
}
