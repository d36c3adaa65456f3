import { type WriteTarget, writeFully } from "./write-fully.ts";
import { isZero } from "./zeros.ts";

/**
 * Makes a file that ends at `endsAt` longer by these bytes, by a hole where all of them are zero, and answers how many were
 * written. What a crash leaves is a beginning of what was given.
 */
export async function appendSparsely(
  target: WriteTarget & { truncate(sizeBytes: number): Promise<void> },
  bytes: Uint8Array,
  endsAt: number,
): Promise<number> {
  if (isZero(bytes)) {
    await target.truncate(endsAt + bytes.length);
    return 0;
  }
  await writeFully(target, bytes, endsAt);
  return bytes.length;
}
