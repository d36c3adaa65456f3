import { ApplianceError } from "../../../errors.ts";
import type { RbdPool } from "./rbd-pool.ts";

/**
 * Cuts an image or disk off from what it reads through to. Whoever has it open for writing does the work, so that its
 * writes and the copies are in one order: it goes on there when it is cancelled here, and ends as flat.
 */
export async function flattenRbd(
  pool: RbdPool,
  image: string,
  progress: (doneBytes: number, totalBytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  if (!(await pool.hasParent(image, signal))) return;
  let heldBytes = 0;
  await pool.extents(image, (_, length) => (heldBytes += length), signal);
  const wantedBytes = Math.max(0, heldBytes - (await pool.used(image, signal)));
  const { freeBytes } = await pool.usage(signal);
  if (freeBytes <= wantedBytes) {
    throw new ApplianceError("POOL_FULL", "pool: no space left for a flat copy", {
      details: {
        driver: "rbd",
        freeBytes,
        wantedBytes,
        remedy: "ingot disk rm, or give the cluster more room (ceph df)",
      },
    });
  }
  const sizeBytes = (await pool.size(image, signal)) ?? 0;
  progress(0, sizeBytes);
  await pool.flatten(image, (percent) => progress(Math.floor((percent / 100) * sizeBytes), sizeBytes), signal);
}
