import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import koffi from "koffi";
import { ApplianceError } from "../errors.ts";
import { isNoRoom } from "../net/preallocate.ts";

const flock = koffi.load("libc.so.6").func("int flock(int fd, int operation)");

/** <sys/file.h>: LOCK_EX | LOCK_NB. */
const EXCLUSIVE_OR_FAIL = 2 | 4;

/** Gives the lock back; a second call does nothing. */
export type Release = () => Promise<void>;

/**
 * Makes this process the only one that works on a state directory, until it calls the answer or ends in whatever
 * way: the kernel drops flock(2) with its holder, so nothing stale can stay behind, and children don't inherit it.
 * LOCKED names the holder's pid; UNAVAILABLE when the directory is missing or not ours to write.
 */
export async function lockStateDirectory(directory: string): Promise<Release> {
  const path = join(directory, "lock");
  // A bare descriptor (opened O_CLOEXEC): a FileHandle would be closed, and the lock lost, by garbage collection.
  const fd = openLockFile(path);
  if (flock(fd, EXCLUSIVE_OR_FAIL) !== 0) {
    const errno = koffi.errno();
    closeSync(fd);
    throw errno === constants.errno.EWOULDBLOCK ? held(directory, path) : unusable(path, `flock: errno ${errno}`);
  }
  notePid(fd);
  let open = true;
  return async () => {
    if (open) closeSync(fd);
    open = false;
  };
}

/** For people, and for the next one's error. A full disk must not keep the appliance from starting. */
function notePid(fd: number): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`);
  } catch (error) {
    if (!isNoRoom(error)) throw error;
  }
}

function openLockFile(path: string): number {
  try {
    return openSync(path, "a+", 0o600);
  } catch (error) {
    throw unusable(path, (error as NodeJS.ErrnoException).code ?? "unknown", error);
  }
}

function held(directory: string, path: string): ApplianceError {
  const pid = Number(readFileSync(path, "utf8")) || undefined;
  const holder = pid ? `process ${pid}` : "another process";
  return new ApplianceError("LOCKED", `state directory ${directory}: ${holder} works on it already`, {
    details: {
      field: "stateDirectory",
      value: directory,
      pid,
      remedy: "stop the other ingotd, or give this one a stateDirectory of its own",
    },
  });
}

function unusable(path: string, reason: string, cause?: unknown): ApplianceError {
  return new ApplianceError("UNAVAILABLE", `state directory: can't lock ${path} (${reason})`, {
    details: { field: "stateDirectory", remedy: "make the directory and let the user that runs ingotd write to it" },
    retryable: false,
    cause,
  });
}
