/**
 * The child process that touches an imported image's bytes, so that neither their amount nor a fault of the disk below
 * stalls the parent. It gets open files and no path.
 * usage: import-worker.ts hash                       hashes descriptor 3
 *        import-worker.ts copy                       writes what is not zero of descriptor 3 to descriptor 4, hashes it
 *        import-worker.ts unpack MAX COMMAND...      the same with what COMMAND makes of descriptor 3, at most MAX bytes
 * Output: lines of JSON, `{"progress": [read, made]}` and at last `{"sha256", "madeBytes"}`, or `{"error": {"code", "message"}}`.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { fstatSync, ftruncateSync, readFileSync, readSync, writeSync } from "node:fs";

const SOURCE = 3;
const TARGET = 4;
const CHUNK_BYTES = 1024 * 1024;
const COLLECT_EVERY_BYTES = 16 * CHUNK_BYTES;
/** What is looked at for being all zeros: the block size of the pools. */
const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
const PROGRESS_MS = 100;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

const [mode, maxBytes, ...command] = process.argv.slice(2);
const hash = createHash("sha256");
let saidAt = 0;

try {
  const madeBytes = mode === "unpack" ? await unpack(Number(maxBytes), command) : readAll(mode === "copy");
  say({ sha256: hash.digest("hex"), madeBytes });
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  say({ error: { code, message } });
  process.exitCode = 1;
}

function readAll(copying: boolean): number {
  const { size } = fstatSync(SOURCE);
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let position = 0; position < size; ) {
    const length = readSync(SOURCE, chunk, 0, Math.min(CHUNK_BYTES, size - position), position);
    if (length === 0) throw new Error("the file became shorter while it was read");
    const content = chunk.subarray(0, length);
    hash.update(content);
    if (copying) writeSparsely(content, position);
    position += length;
    tell(position, position, position === size);
  }
  // The target is longer than the source when the size was padded to whole sectors.
  if (copying) hash.update(ZEROS.subarray(0, fstatSync(TARGET).size - size));
  return size;
}

async function unpack(max: number, [program = "", ...words]: string[]): Promise<number> {
  const child = spawn(program, words, { stdio: [SOURCE, "pipe", "pipe"] });
  let complaint = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-500);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  ended.catch(() => {});
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let [position, filled] = [0, 0];
  const flush = () => {
    const content = chunk.subarray(0, filled);
    hash.update(content);
    writeSparsely(content, position);
    position += filled;
    filled = 0;
    // or pieces that are done with pile up to many times what is in use
    if (position % COLLECT_EVERY_BYTES === 0) globalThis.gc?.({ type: "minor" });
    if (position > max) throw Object.assign(new Error("it makes more than it may"), { code: "TOO_LARGE" });
    tell(consumed(), position, false);
  };
  try {
    for await (const piece of child.stdout as AsyncIterable<Buffer>) {
      for (let taken = 0; taken < piece.length; ) {
        const length = piece.copy(chunk, filled, taken);
        taken += length;
        filled += length;
        if (filled === CHUNK_BYTES) flush();
      }
    }
    flush();
  } finally {
    child.kill("SIGKILL");
  }
  const code = await ended;
  if (code !== 0 || position === 0) {
    const message = complaint.trim() || (position === 0 ? "nothing is in it" : `its program ended with ${code}`);
    throw Object.assign(new Error(message), { code: "DAMAGED" });
  }
  const padded = Math.ceil(position / SECTOR_BYTES) * SECTOR_BYTES;
  hash.update(ZEROS.subarray(0, padded - position));
  ftruncateSync(TARGET, padded);
  tell(consumed(), position, true);
  return position;
}

/** How far the program is in the source: it shares the open file with this process, and so the place in it. */
function consumed(): number {
  return Number(/^pos:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${SOURCE}`, "latin1"))?.[1] ?? 0);
}

/** Writes the runs of blocks that hold something; the target is all holes to begin with. */
function writeSparsely(content: Buffer, position: number): void {
  if (content.equals(ZEROS.subarray(0, content.length))) return;
  let runStart = -1;
  for (let at = 0; at <= content.length; at += BLOCK_BYTES) {
    const block = content.subarray(at, at + BLOCK_BYTES);
    const full = block.length > 0 && !block.equals(ZEROS.subarray(0, block.length));
    if (full && runStart < 0) runStart = at;
    if (!full && runStart >= 0) {
      writeFully(content.subarray(runStart, at), position + runStart);
      runStart = -1;
    }
  }
  if (runStart >= 0) writeFully(content.subarray(runStart), position + runStart);
}

function writeFully(bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(TARGET, bytes, done, bytes.length - done, position + done);
}

function tell(readBytes: number, madeBytes: number, atOnce: boolean): void {
  if (!atOnce && Date.now() - saidAt < PROGRESS_MS) return;
  saidAt = Date.now();
  say({ progress: [readBytes, madeBytes] });
}

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}
