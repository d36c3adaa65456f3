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

/** A directory as people are told of it: what it is, its key of the configuration, and what to do about another process. */
export type LockedDirectory = { what: string; field: string; remedy: string };

const STATE: LockedDirectory = {
  what: "state directory",
  field: "stateDirectory",
  remedy: "stop the other ingotd, or give this one a stateDirectory of its own",
};

/**
 * Makes this process the only one that works on a directory (a state directory unless told), until it calls the answer or ends in whatever
 * way: the kernel drops flock(2) with its holder, so nothing stale can stay behind, and children don't inherit it.
 * LOCKED names the holder's pid; UNAVAILABLE when the directory is missing or not ours to write.
 */
export async function lockDirectory(directory: string, of: LockedDirectory = STATE): Promise<Release> {
  const path = join(directory, "lock");
  // A bare descriptor (opened O_CLOEXEC): a FileHandle would be closed, and the lock lost, by garbage collection.
  const fd = openLockFile(path, of);
  if (flock(fd, EXCLUSIVE_OR_FAIL) !== 0) {
    const errno = koffi.errno();
    closeSync(fd);
    throw errno === constants.errno.EWOULDBLOCK
      ? held(directory, path, of)
      : unusable(path, of, `flock: errno ${errno}`);
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

function openLockFile(path: string, of: LockedDirectory): number {
  try {
    return openSync(path, "a+", 0o600);
  } catch (error) {
    throw unusable(path, of, (error as NodeJS.ErrnoException).code ?? "unknown", error);
  }
}

function held(directory: string, path: string, { what, field, remedy }: LockedDirectory): ApplianceError {
  const pid = Number(readFileSync(path, "utf8")) || undefined;
  const holder = pid ? `process ${pid}` : "another process";
  return new ApplianceError("LOCKED", `${what} ${directory}: ${holder} works on it already`, {
    details: {
      field,
      value: directory,
      pid,
      remedy,
    },
  });
}

function unusable(path: string, { what, field }: LockedDirectory, reason: string, cause?: unknown): ApplianceError {
  return new ApplianceError("UNAVAILABLE", `${what}: can't lock ${path} (${reason})`, {
    details: { field, remedy: "make the directory and let the user that works on it write there" },
    retryable: false,
    cause,
  });
}
