import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { ApplianceError } from "../errors.ts";
import { passBytes } from "../net/pass-bytes.ts";

/**
 * Bytes as they follow an answer: frames of a length (32 bits, big endian) and so many bytes. One of length 0 says that all
 * have come: a connection that merely ended would look the same.
 */
const HEADER_BYTES = 4;
/** Longest first line of an answer. */
const LINE_BYTES = 64 * 1024;

/** A stream in frames. It breaks off where the stream does. */
export async function* framed(content: Readable): AsyncGenerator<Buffer> {
  for await (const chunk of content) {
    if (chunk.length === 0) continue;
    yield header(chunk.length);
    yield chunk;
    passBytes(chunk.length);
  }
  yield header(0);
}

/** The stream that the frames on a connection carry; UNAVAILABLE where they break off. The connection ends with it. */
export function unframed(socket: Socket): Readable {
  const content = Readable.from(contentOf(socket), { objectMode: false });
  // a reader that gives up is not kept by what the other side still owes
  content.on("close", () => socket.destroy());
  return content;
}

async function* contentOf(socket: Socket): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0);
  let left = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    for (let rest = chunk; rest.length > 0; ) {
      if (left > 0) {
        const piece = rest.subarray(0, left);
        left -= piece.length;
        rest = rest.subarray(piece.length);
        yield piece;
        passBytes(piece.length);
        continue;
      }
      const missing = HEADER_BYTES - head.length;
      head = Buffer.concat([head, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (head.length < HEADER_BYTES) continue;
      left = head.readUInt32BE();
      head = Buffer.alloc(0);
      if (left === 0) return;
    }
  }
  throw brokenOff();
}

/** The first line that comes, which the rest follows. UNAVAILABLE when the connection ends before. */
export async function readFirstLine(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const chunk: Buffer | null = socket.read();
    if (!chunk) {
      if (socket.destroyed || socket.readableEnded) throw brokenOff();
      await readableOrOver(socket);
      continue;
    }
    const end = chunk.indexOf(10);
    pieces.push(end < 0 ? chunk : chunk.subarray(0, end));
    bytes += chunk.length;
    if (end >= 0) {
      socket.unshift(chunk.subarray(end + 1));
      return Buffer.concat(pieces).toString();
    }
    if (bytes > LINE_BYTES) throw new Error(`an answer of more than ${LINE_BYTES} bytes`);
  }
}

function readableOrOver(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of ["readable", "end", "close", "error"]) socket.off(event, done);
      resolve();
    };
    for (const event of ["readable", "end", "close", "error"]) socket.on(event, done);
  });
}

function header(bytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(bytes);
  return header;
}

function brokenOff(): ApplianceError {
  return new ApplianceError("UNAVAILABLE", "ingot-storaged broke off in the middle of what it sent", {
    details: { driver: "storaged", remedy: "journalctl -u ingot-storaged says why; ask again" },
  });
}
