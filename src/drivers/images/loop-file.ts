import { readFile, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { driverFailed } from "../failure.ts";
import type { Mount } from "./mounts.ts";

/** A file that a mounted file system lives in, by way of a loop device. */
export type LoopFile = { device: string; path: string };

/** How the kernel names a file that has no name any more (d_path). */
const DELETED = " (deleted)";

/** Undefined when the file system lives on a device of its own. DRIVER_FAILED when the file was deleted: it ends with the mount. */
export async function findLoopFile({ device, point }: Mount): Promise<LoopFile | undefined> {
  const name = loopName(device);
  if (name === undefined) return undefined;
  const path = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => undefined);
  const file = path?.replace(/\n$/, "");
  if (file === undefined) return undefined;
  if (!file.endsWith(DELETED)) return { device, path: file };
  const lost = file.slice(0, -DELETED.length);
  throw driverFailed("file", "look at pool", `the pool's file ${lost} was deleted, and is lost once it is unmounted`, {
    details: {
      remedy: `do not unmount it; switch its nodes off, then: fsfreeze -f ${point}; cp ${device} ${lost}; fsfreeze -u ${point}`,
    },
  });
}

/** The bytes that a loop device shows of its file: those that it had when it was set up, or told of new ones. */
export async function loopBytes({ device }: LoopFile): Promise<number> {
  // in sectors of 512 bytes whatever the device's own (sysfs-block)
  return Number(await readFile(`/sys/block/${loopName(device)}/size`, "utf8")) * 512;
}

/** The file's length, what of it has blocks, and what its disk could still give to an unprivileged user. */
export async function loopFileUsage({ path }: LoopFile) {
  const [{ size, blocks }, { bsize, bavail, blocks: total }] = await Promise.all([stat(path), statfs(dirname(path))]);
  return {
    path,
    sizeBytes: size,
    allocatedBytes: Math.min(size, blocks * 512),
    diskFreeBytes: bavail * bsize,
    diskBytes: total * bsize,
  };
}

function loopName(device: string): string | undefined {
  return /^\/dev\/(loop\d+)$/.exec(device)?.[1];
}
