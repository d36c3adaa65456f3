import type { FileHandle } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { ApplianceError } from "../../errors.ts";
import { SocketSendfile } from "../../net/socket-sendfile.ts";
import type { ByteRange } from "./byte-ranges.ts";

/** What Node writes at a time; in between, the kernel sends what fits behind it. */
const CHUNK_BYTES = 64 * 1024;

/** Where the rest of a range is no longer than this, the kernel's help costs more than it saves. */
const LEAST_SENDFILE_BYTES = 256 * 1024;

/**
 * Sends texts and ranges of the file as the body of a response, past Hono: a web stream in between costs more than half
 * of the throughput. Node writes a piece and so waits until the client has taken what was before; then the kernel sends
 * on from the file until the socket is full. Rejects when the client goes away or takes longer than `pieceMs` for a piece, and with CONFLICT when the file has
 * become shorter: the connection has to be closed then, so that nobody takes a part for the whole.
 */
export async function sendParts(
  file: FileHandle,
  parts: (string | ByteRange)[],
  outgoing: ServerResponse,
  pieceMs: number,
): Promise<void> {
  const { socket } = outgoing;
  const kernel = socket && parts.some(isLong) ? SocketSendfile.open(socket) : undefined;
  const tooSlow = setTimeout(() => outgoing.destroy(), pieceMs);
  const write = async (bytes: Buffer) => {
    await written(outgoing, bytes);
    tooSlow.refresh();
  };
  try {
    for (const part of parts) {
      if (typeof part === "string") await write(Buffer.from(part));
      else await sendRange(file, part, write, kernel);
    }
  } finally {
    clearTimeout(tooSlow);
    kernel?.close();
  }
  outgoing.end();
}

async function sendRange(
  file: FileHandle,
  range: ByteRange,
  write: (bytes: Buffer) => Promise<void>,
  kernel: SocketSendfile | undefined,
): Promise<void> {
  const end = range.last + 1;
  for (let position = range.first; position < end; ) {
    const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - position));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) throw becameShorter();
    await write(chunk.subarray(0, bytesRead));
    position += bytesRead;
    while (kernel && end - position >= LEAST_SENDFILE_BYTES) {
      const sent = await kernel.send(file.fd, position, end - position);
      if (sent === 0) throw becameShorter();
      if (sent < 0) break;
      position += sent;
    }
  }
}

/** Resolves when the socket has taken the bytes; rejects when it is closed instead. */
function written(outgoing: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (outgoing.destroyed || !outgoing.socket) return reject(new Error("the client went away"));
    outgoing.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function isLong(part: string | ByteRange): boolean {
  return typeof part !== "string" && part.last - part.first >= LEAST_SENDFILE_BYTES;
}

function becameShorter(): ApplianceError {
  return new ApplianceError("CONFLICT", "the file became shorter while it was sent");
}
