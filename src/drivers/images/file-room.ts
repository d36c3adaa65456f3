import { ApplianceError } from "../../errors.ts";
import type { PoolUsage } from "./image-store.ts";
import { poolUsage } from "./pool-usage.ts";

/** Kept free for the metadata of clones: a pool that is full to the brim can't even copy on write. */
const RESERVE_BYTES = 32 * 1024 * 1024;

/**
 * Checks whether a pool of files has room for so many bytes that are brought in: POOL_FULL where they would take what
 * running nodes are given in need, as they begin at `watermarks.critical` percent.
 */
export function roomForImports({
  directory,
  watermarks = { critical: 100 },
}: {
  directory: string;
  watermarks?: { critical: number };
}): (bytes: number) => Promise<void> {
  return async (bytes) => {
    const usage = await poolUsage(directory);
    refuseFull(usage, bytes, usage.totalBytes * (1 - watermarks.critical / 100));
  };
}

/** POOL_FULL where so many bytes would leave less than `keptFreeBytes`, or than the pool itself needs. */
export function refuseFull(usage: PoolUsage, bytes: number, keptFreeBytes = 0): void {
  if (usage.freeBytes >= bytes + Math.max(keptFreeBytes, RESERVE_BYTES)) return;
  throw poolFull({ freeBytes: usage.freeBytes, wantedBytes: bytes });
}

/** POOL_FULL, and what to do about it where a pool of files is full. */
export function poolFull(details: Record<string, unknown>, cause?: unknown): ApplianceError {
  return new ApplianceError("POOL_FULL", "pool: no space left", {
    details: {
      driver: "file",
      ...details,
      remedy: "ingot pool show names the largest disks; ingot disk rm, or ingot pool grow",
    },
    cause,
  });
}
