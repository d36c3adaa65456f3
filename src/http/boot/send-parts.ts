import type { FileHandle } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { finished } from "node:stream/promises";
import { ApplianceError } from "../../errors.ts";
import { SocketSendfile } from "../../net/socket-sendfile.ts";
import type { ByteRange } from "./byte-ranges.ts";

/** What Node writes at a time; in between, the kernel sends what fits behind it. */
const CHUNK_BYTES = 64 * 1024;

/** How long the kernel may go on sending before Node writes again. */
const KERNEL_TURN_MS = 500;

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
  const end = Math.max(0, ...parts.map((part) => (typeof part === "string" ? 0 : part.last + 1)));
  const kernel = socket && parts.some(isLong) ? SocketSendfile.open(socket, file.fd, end) : undefined;
  const tooSlow = setTimeout(() => outgoing.destroy(), pieceMs);
  const { promise: gone, reject: goAway } = Promise.withResolvers<never>();
  gone.catch(() => {});
  const onClose = () => goAway(new Error("the client went away"));
  outgoing.once("close", onClose);
  const write = async (bytes: Buffer, isLast: boolean) => {
    // Node drops the callbacks of some writes whose connection ends; an answer that ends whole closes too
    await (isLast ? written(outgoing, bytes, isLast) : Promise.race([written(outgoing, bytes, isLast), gone]));
    tooSlow.refresh();
  };
  const goesOn = () => {
    tooSlow.refresh();
    return !outgoing.destroyed;
  };
  try {
    for (const [index, part] of parts.entries()) {
      const isLast = index === parts.length - 1;
      if (typeof part === "string") await write(Buffer.from(part), isLast);
      else await sendRange(file, part, (bytes, endsPart) => write(bytes, isLast && endsPart), kernel, goesOn);
    }
  } finally {
    clearTimeout(tooSlow);
    outgoing.off("close", onClose);
    kernel?.close();
  }
}

async function sendRange(
  file: FileHandle,
  range: ByteRange,
  write: (bytes: Buffer, endsPart: boolean) => Promise<void>,
  kernel: SocketSendfile | undefined,
  goesOn: () => boolean,
): Promise<void> {
  const end = range.last + 1;
  for (let position = range.first; position < end; ) {
    const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - position));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) throw new ApplianceError("CONFLICT", "the file became shorter while it was sent");
    position += bytesRead;
    await write(chunk.subarray(0, bytesRead), position === end);
    // then Node again: its own timer for the connection sees no other progress
    const turnEnds = performance.now() + KERNEL_TURN_MS;
    while (kernel && end - position >= LEAST_SENDFILE_BYTES && performance.now() < turnEnds) {
      const sent = await kernel.send(position, end - position - CHUNK_BYTES);
      if (sent <= 0) break;
      position += sent;
      if (!goesOn()) break;
    }
  }
}

/**
 * Resolves when the socket has taken the bytes; rejects when it is closed instead. The last ones end the answer: a client
 * that has them may ask again before Node hears of anything else.
 */
async function written(outgoing: ServerResponse, bytes: Buffer, isLast: boolean): Promise<void> {
  if (outgoing.destroyed || !outgoing.socket) throw new Error("the client went away");
  if (isLast) {
    outgoing.end(bytes);
    await finished(outgoing);
    return;
  }
  await new Promise<void>((resolve, reject) => {
    outgoing.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function isLong(part: string | ByteRange): boolean {
  return typeof part !== "string" && part.last - part.first >= LEAST_SENDFILE_BYTES;
}
