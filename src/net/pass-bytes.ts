import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Well below what makes V8 mark the whole heap: with a small one it does so for a few MB that lie outside of it. */
const COLLECT_EVERY_BYTES = 2 * 1024 * 1024;

let collect: ((options: { type: "minor" }) => void) | undefined;
let passedBytes = 0;

/**
 * To be told of the pieces of a long stream on their way through this process. Node has a new buffer for each. Left to V8,
 * they pile up to some 100 MB, and the whole heap is marked up to fifteen times a second for them; so the young
 * generation alone is collected here now and then, in about half a millisecond.
 */
export function passBytes(bytes: number): void {
  passedBytes += bytes;
  if (passedBytes < COLLECT_EVERY_BYTES) return;
  passedBytes = 0;
  collect ??= exposeCollection();
  collect({ type: "minor" });
}

function exposeCollection(): NonNullable<typeof collect> {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}
