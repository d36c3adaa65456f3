import type { Appliance } from "./appliance.ts";
import { purgeDisk } from "./remove-disk.ts";

const HOUR_MS = 3_600_000;

/**
 * Removes for good the deleted disks whose grace is over, one after the other, the oldest first; while the pool takes
 * nothing new, one of the others too, since a pool tells the room that it made only seconds later. Whose removal is
 * stuck is left to a person.
 */
export async function purgeDeleted(appliance: Appliance, signal: AbortSignal): Promise<void> {
  const { clock, config, disks, pool, runner } = appliance;
  for (const { id, project } of disks.listDeleted()) {
    // those before it took their time: it may have been brought back, and deleted again
    const deletedAt = disks.find(id)?.deletedAt;
    if (deletedAt === undefined) continue;
    const isOver = deletedAt + config.disks.graceHours * HOUR_MS <= clock.now();
    const isShort = pool.level === "closed" || pool.level === "critical";
    if ((!isOver && !isShort) || runner.holder(id) !== undefined) continue;
    if (signal.aborted) return;
    const { id: operation } = await purgeDisk(appliance, { project, disk: id }, "ingot");
    await runner.settled(operation);
    if (!isOver) return;
  }
}
