import type { Appliance } from "./appliance.ts";
import { purgeDisk } from "./remove-disk.ts";

const LOOK_SECONDS = 10;
const HOUR_MS = 3_600_000;

/**
 * Removes for good the deleted disks whose grace is over, one after the other, the oldest first; while the pool takes
 * nothing new, the others too. Whose removal is stuck is left to a person.
 */
export async function purgeDeleted(appliance: Appliance, signal: AbortSignal): Promise<void> {
  const { clock, config, disks, pool, runner } = appliance;
  for (const { id, project, deletedAt = 0 } of disks.listDeleted()) {
    const isOver = deletedAt + config.disks.graceHours * HOUR_MS <= clock.now();
    const isShort = pool.level === "closed" || pool.level === "critical";
    if ((!isOver && !isShort) || runner.holder(id) !== undefined) continue;
    if (signal.aborted) return;
    const { id: operation } = await purgeDisk(appliance, { project, disk: id }, "ingot");
    await runner.settled(operation);
    // there may be room enough now
    if (!isOver) await pool.look(AbortSignal.any([signal, AbortSignal.timeout(LOOK_SECONDS * 1000)]));
  }
}
