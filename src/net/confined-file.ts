import type { BigIntStats } from "node:fs";
import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { ApplianceError } from "../errors.ts";

/** An open regular file below a root. Whoever opened it closes `handle`. */
export type ConfinedFile = { handle: FileHandle; stats: BigIntStats };

const MAX_NAME_LENGTH = 1024;

/**
 * The real path of the file that the network calls `name`, below `root`.
 * Leading slashes are dropped: PXE ROMs send them and mean the root. Symbolic
 * links are followed while they stay below the root.
 * INVALID for a name that can't be meant well (empty, `..`, backslash, control
 * characters), NOT_FOUND, FORBIDDEN when a link leads out or rights are missing.
 */
export async function confineName(root: string, name: string): Promise<string> {
  const relative = name.replace(/^\/+/, "");
  const bad =
    relative === "" ||
    relative.length > MAX_NAME_LENGTH ||
    /[\x00-\x1f\x7f\\]/.test(relative) ||
    relative.split("/").includes("..");
  if (bad) {
    throw new ApplianceError("INVALID", "file: this can't be the name of a file here", {
      details: { field: "file", value: name.slice(0, MAX_NAME_LENGTH) },
    });
  }
  try {
    const realRoot = await realpath(root);
    const path = await realpath(join(realRoot, relative));
    if (path.startsWith(realRoot.endsWith(sep) ? realRoot : realRoot + sep)) return path;
  } catch (cause) {
    throw refusal(name, cause);
  }
  throw forbidden(name, "a link in it leads out of the served directory");
}

/** Opens that file for reading. Same errors; NOT_FOUND also for what is no regular file. */
export async function openConfined(root: string, name: string): Promise<ConfinedFile> {
  const path = await confineName(root, name);
  let handle: FileHandle | undefined;
  try {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = await handle.stat({ bigint: true });
    if (stats.isFile()) return { handle, stats };
  } catch (cause) {
    await handle?.close();
    throw refusal(name, cause);
  }
  await handle.close();
  throw notFound(name);
}

function refusal(name: string, cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG" || code === "ENXIO") return notFound(name);
  if (code === "EACCES" || code === "EPERM" || code === "ELOOP") return forbidden(name, `it can't be read (${code})`);
  return cause;
}

function notFound(name: string): ApplianceError {
  return new ApplianceError("NOT_FOUND", "file: no such file", { details: { field: "file", value: name } });
}

function forbidden(name: string, why: string): ApplianceError {
  return new ApplianceError("FORBIDDEN", `file: ${why}`, { details: { field: "file", value: name } });
}
