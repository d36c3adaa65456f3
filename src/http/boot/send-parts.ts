import type { FileHandle } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { ApplianceError } from "../../errors.ts";
import type { ByteRange } from "./byte-ranges.ts";

const CHUNK_BYTES = 256 * 1024;

/**
 * Streams texts and ranges of the file as the body of a response, past Hono: a
 * web stream in between costs more than half of the throughput. Rejects when
 * the client goes away, and with CONFLICT when the file has become shorter; the
 * connection is closed then, so that nobody takes a part for the whole.
 */
export async function sendParts(
  file: FileHandle,
  parts: (string | ByteRange)[],
  outgoing: ServerResponse,
): Promise<void> {
  await pipeline(chunksOf(file, parts), outgoing);
}

async function* chunksOf(file: FileHandle, parts: (string | ByteRange)[]): AsyncGenerator<Buffer> {
  for (const part of parts) {
    if (typeof part === "string") yield Buffer.from(part);
    else yield* rangeOf(file, part);
  }
}

async function* rangeOf(file: FileHandle, range: ByteRange): AsyncGenerator<Buffer> {
  for (let position = range.first; position <= range.last; ) {
    const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, range.last + 1 - position));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) throw new ApplianceError("CONFLICT", "the file became shorter while it was sent");
    yield chunk.subarray(0, bytesRead);
    position += bytesRead;
  }
}
