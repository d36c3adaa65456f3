import { ApplianceError, isApplianceError } from "../errors.ts";
import { isNoRoom } from "./preallocate.ts";

/**
 * What failed in the directory of files that are being brought in, as an operator can mend it: POOL_FULL for want of
 * room, else DRIVER_FAILED. What is described already, or no error of the file system, stays as it is.
 */
export function describeIncomingFailure(directory: string, error: unknown): unknown {
  const { syscall, message } = (error ?? {}) as NodeJS.ErrnoException;
  if (isApplianceError(error) || syscall === undefined) return error;
  const isFull = isNoRoom(error);
  return new ApplianceError(
    isFull ? "POOL_FULL" : "DRIVER_FAILED",
    isFull ? "incoming: the disk below is full" : `incoming: ${message}`,
    {
      details: {
        field: "pool.incoming.directory",
        value: directory,
        remedy: isFull
          ? "make room there; then go on"
          : "see that ingotd may write there, and that its disk is well; then try again",
      },
      cause: error,
    },
  );
}
