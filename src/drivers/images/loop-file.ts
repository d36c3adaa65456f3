import { readFile, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Mount } from "./mounts.ts";

/** A file that a mounted file system lives in, by way of a loop device. */
export type LoopFile = { device: string; path: string };

/** Undefined when the file system lives on a device of its own. */
export async function findLoopFile({ device }: Mount): Promise<LoopFile | undefined> {
  const name = loopName(device);
  if (name === undefined) return undefined;
  const path = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => undefined);
  return path === undefined ? undefined : { device, path: path.replace(/\n$/, "") };
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
