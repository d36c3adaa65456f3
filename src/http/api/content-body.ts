import type { Readable } from "node:stream";
import { ApplianceError } from "../../errors.ts";
import type { ByteRange } from "../boot/byte-ranges.ts";

/** Within that time, a client has to take some of what waits for it. */
const STALL_MS = 60_000;

export type ContentBody = {
  /** Texts as they stand, and ranges of what is sent. */
  parts: (string | ByteRange)[];
  /** A range's bytes. It is asked for one after the other, each once it is its turn. */
  open: (range: ByteRange) => Promise<Readable>;
  /** The first range, open already: what is wrong with it could be told. */
  first?: Readable | undefined;
  /** Cuts the client off: all that can be told it once the header is out. False where it has no connection. */
  cutOff: (why: unknown) => boolean;
};

/**
 * The body of an answer that is made of ranges. It holds one piece at a time, takes the next one when the client has taken
 * that, and lets go of everything when the client goes away, or takes nothing for a minute.
 */
export function contentBody(
  { parts, open, first, cutOff }: ContentBody,
  stallMs = STALL_MS,
): ReadableStream<Uint8Array> {
  const waiting = [...parts];
  let opened = first;
  let current: Readable | undefined;
  let pieces: AsyncIterator<Uint8Array> | undefined;
  let stalled: NodeJS.Timeout | undefined;
  const letGo = () => {
    clearTimeout(stalled);
    opened?.destroy();
    current?.destroy();
  };
  const next = async (): Promise<Uint8Array | undefined> => {
    for (;;) {
      const piece = await pieces?.next();
      if (piece && !piece.done) return piece.value;
      const part = waiting.shift();
      if (part === undefined) return undefined;
      if (typeof part === "string") return Buffer.from(part);
      current = opened ?? (await open(part));
      opened = undefined;
      pieces = current[Symbol.asyncIterator]();
    }
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stalled);
        try {
          const piece = await next();
          if (!piece) {
            controller.close();
            return letGo();
          }
          controller.enqueue(piece);
          stalled = setTimeout(() => {
            letGo();
            cutOff(new ApplianceError("TIMEOUT", "the client took nothing for a minute"));
          }, stallMs).unref();
        } catch (error) {
          letGo();
          if (!cutOff(error)) controller.error(error);
        }
      },
      cancel: letGo,
    },
    { highWaterMark: 0 },
  );
}
