import { ApplianceError } from "../../../errors.ts";

/** INVALID for a file that is not what it was said to be, or can't be taken as it is. */
export function refusedImage(what: string, remedy: string): ApplianceError {
  return new ApplianceError("INVALID", `path: the image ${what}`, { details: { field: "path", remedy } });
}

/** Larger than any disk is taken for a broken header. */
export const MAX_SIZE_BYTES = 2n ** 46n;

/** The size that a header states, in bytes; INVALID for one that can't be. */
export function possibleSize(bytes: bigint): number {
  if (bytes <= 0n || bytes > MAX_SIZE_BYTES) throw refusedImage("states an impossible size", "check the file");
  return Number(bytes);
}
