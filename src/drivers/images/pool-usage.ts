import { readFile, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { PoolUsage } from "./image-store.ts";
import { mountAbove } from "./mounts.ts";

/**
 * Size and free space of the file system that `directory` is on. Where that is a loop mount of a sparse file, the free
 * space of the disk below counts too: XFS would accept writes that the loop device then can't write back.
 */
export async function poolUsage(directory: string): Promise<PoolUsage> {
  const { bsize, blocks, bavail } = await statfs(directory);
  const free = bavail * bsize;
  const backing = await backingSpace(directory);
  const covered = !backing || backing.unallocatedBytes <= backing.freeBytes;
  return {
    totalBytes: blocks * bsize,
    freeBytes: covered ? free : Math.min(free, backing.freeBytes),
    filesystem: (await mountAbove(directory))?.filesystem ?? "unknown",
  };
}

/** Of a loop mount: what its file has not allocated yet, and what its disk could still give. */
async function backingSpace(directory: string): Promise<{ unallocatedBytes: number; freeBytes: number } | undefined> {
  const file = await loopFile(directory);
  if (file === undefined) return undefined;
  const [{ size, blocks }, { bsize, bavail }] = await Promise.all([stat(file), statfs(dirname(file))]);
  return { unallocatedBytes: Math.max(0, size - blocks * 512), freeBytes: bavail * bsize };
}

/** The file behind the loop device that the directory lives on. */
async function loopFile(directory: string): Promise<string | undefined> {
  const loop = /^\/dev\/(loop\d+)$/.exec((await mountAbove(directory))?.device ?? "")?.[1];
  if (loop === undefined) return undefined;
  return readFile(`/sys/block/${loop}/loop/backing_file`, "utf8").then(
    (text) => text.replace(/\n$/, ""),
    () => undefined,
  );
}
