/**
 * The child process that touches an imported image's bytes, so that neither their amount nor a fault of the disk below
 * stalls the parent. It gets open files and no path.
 * usage: import-worker.ts copy   reads descriptor 3, writes what is not zero to descriptor 4, hashes it
 *        import-worker.ts hash   hashes descriptor 3
 * Output: lines of JSON, `{"doneBytes"}` and at last `{"sha256"}`, or `{"error": {"code", "message"}}`.
 */
import { createHash, type Hash } from "node:crypto";
import { fstatSync, readSync, writeSync } from "node:fs";

const SOURCE = 3;
const TARGET = 4;
const CHUNK_BYTES = 4 * 1024 * 1024;
/** What is looked at for being all zeros: the block size of the pools. */
const BLOCK_BYTES = 4096;
const PROGRESS_MS = 100;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

try {
  const copying = process.argv[2] === "copy";
  const hash = createHash("sha256");
  const { size } = fstatSync(SOURCE);
  readAll(hash, size, copying);
  // The target is longer than the source when the size was padded to whole sectors.
  if (copying) hash.update(ZEROS.subarray(0, fstatSync(TARGET).size - size));
  say({ sha256: hash.digest("hex") });
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  say({ error: { code, message } });
  process.exitCode = 1;
}

function readAll(hash: Hash, size: number, copying: boolean): void {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let saidAt = 0;
  for (let position = 0; position < size; ) {
    const length = readSync(SOURCE, chunk, 0, Math.min(CHUNK_BYTES, size - position), position);
    if (length === 0) throw new Error("the file became shorter while it was read");
    const content = chunk.subarray(0, length);
    hash.update(content);
    if (copying) writeSparsely(content, position);
    position += length;
    if (position === size || Date.now() - saidAt >= PROGRESS_MS) {
      saidAt = Date.now();
      say({ doneBytes: position });
    }
  }
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

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}
