import type { Config } from "../config/schema.ts";
import type { PoolUsage } from "../drivers/images/image-store.ts";

/**
 * How full the pool is: `warn`: somebody should look. `closed`: nothing is cloned, imported or snapshotted any more.
 * `critical`: the ballast is given to running nodes.
 */
export type PoolLevel = "ok" | "warn" | "closed" | "critical";

export type PoolFill = { level: PoolLevel; usedPercent: number };

/** Judges a pool by its watermarks. The ballast counts as free, so that giving it away changes nothing. */
export function poolFill(usage: PoolUsage, marks: Config["pool"]["watermarks"]): PoolFill {
  const { totalBytes, freeBytes, ballast } = usage;
  const free = Math.min(totalBytes, freeBytes + ballast.bytes);
  const used = totalBytes === 0 ? 100 : (100 * (totalBytes - free)) / totalBytes;
  const level =
    used >= marks.critical ? "critical" : used >= marks.close ? "closed" : used >= marks.warn ? "warn" : "ok";
  return { level, usedPercent: Math.floor(used) };
}

/** Whether the pool's file may ask its disk for blocks that this no longer has: what the pool accepted is lost then. */
export function isSparse({ file }: PoolUsage): boolean {
  return file !== undefined && file.allocatedBytes < file.sizeBytes;
}
