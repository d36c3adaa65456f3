import type { Config } from "../config/schema.ts";
import type { PoolUsage } from "../drivers/images/image-store.ts";

/**
 * How full the pool is: `warn`: somebody should look. `closed`: nothing is cloned, imported or snapshotted any more.
 * `critical`: the ballast is given to running nodes.
 */
export const POOL_LEVELS = ["ok", "warn", "closed", "critical"] as const;

/** One of `POOL_LEVELS`. */
export type PoolLevel = (typeof POOL_LEVELS)[number];

/** A pool as its watermarks judge it; whole percent, rounded down. */
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

/**
 * The level of a pool that was at `before`: it rises with the fill, and falls only once the fill is 1 % below a mark, so
 * that a pool that hovers at one stays where it is.
 */
export function steadyLevel(
  before: PoolLevel | "unknown",
  usage: PoolUsage,
  { warn, close, critical }: Config["pool"]["watermarks"],
): PoolLevel {
  const { level } = poolFill(usage, { warn, close, critical });
  if (before === "unknown" || POOL_LEVELS.indexOf(level) >= POOL_LEVELS.indexOf(before)) return level;
  return poolFill(usage, { warn: warn - 1, close: close - 1, critical: critical - 1 }).level;
}

/** Whether the pool's file may ask its disk for blocks that this no longer has: what the pool accepted is lost then. */
export function isSparse({ file }: PoolUsage): boolean {
  return file !== undefined && file.allocatedBytes < file.sizeBytes;
}
