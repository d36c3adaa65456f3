import { statfs } from "node:fs/promises";
import { Ballast } from "./ballast.ts";
import type { PoolUsage } from "./image-store.ts";
import { findLoopFile, loopFileUsage } from "./loop-file.ts";
import { mountAbove } from "./mounts.ts";

/**
 * Size and free space of the file system that `directory` is on. Where that is a loop mount of a sparse file, the free
 * space of the disk below counts too: XFS would accept writes that the loop device then can't write back.
 */
export async function poolUsage(directory: string): Promise<PoolUsage> {
  const { bsize, blocks, bfree, bavail } = await statfs(directory);
  const mount = await mountAbove(directory);
  const loop = mount && (await findLoopFile(mount));
  const file = loop && (await loopFileUsage(loop));
  const totalBytes = (blocks - bfree + bavail) * bsize;
  const freeBytes = bavail * bsize;
  const isCovered = !file || file.sizeBytes - file.allocatedBytes <= file.diskFreeBytes;
  return {
    totalBytes,
    freeBytes: isCovered ? freeBytes : Math.min(freeBytes, file.diskFreeBytes),
    filesystem: mount?.filesystem ?? "unknown",
    ballast: await new Ballast(directory).state(blocks * bsize),
    ...(file ? { file } : {}),
  };
}
