import type { DiskRecord } from "../disks/disk.ts";
import {
  checkSchedule,
  isDue,
  type SnapshotSchedule,
  scheduledName,
  surplus,
  taken,
} from "../disks/snapshot-schedule.ts";
import { ApplianceError, toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { removeImage } from "./remove-image.ts";
import { snapshotDisk } from "./snapshot-disk.ts";
import { usersOfImage } from "./users.ts";

/** Who asks for them, in records. */
const REQUESTED_BY = "schedule";

/** Has snapshots of a disk taken from now on, or no more; those that there are stay. NOT_FOUND, INVALID. */
export async function scheduleSnapshots(
  { disks, records }: Appliance,
  request: { project: string; disk: string; schedule?: Pick<SnapshotSchedule, "everySeconds" | "keep"> },
): Promise<DiskRecord> {
  const { schedule: former, ...disk } = disks.get(request.project, request.disk);
  const { schedule } = request;
  if (schedule) checkSchedule(schedule);
  const lastAt = former?.lastAt === undefined ? {} : { lastAt: former.lastAt };
  const changed: DiskRecord = schedule ? { ...disk, schedule: { ...schedule, ...lastAt } } : disk;
  await records.commit([{ collection: "disks", key: disk.id, value: changed }]);
  return changed;
}

/** A disk's scheduled snapshot that could not be taken, and is not yet. Moments in ms since the epoch. */
export type ScheduleFailure = { disk: string; project: string; at: number; message: string };

/** How many disks snapshots are scheduled for, and where the last one could not be taken. */
export function listSchedules({ disks }: Pick<Appliance, "disks">): { disks: number; failures: ScheduleFailure[] } {
  const scheduled = disks.list().filter(({ schedule }) => schedule !== undefined);
  const failures = scheduled.flatMap(({ name: disk, project, schedule }) =>
    schedule?.failure ? [{ disk, project, ...schedule.failure }] : [],
  );
  return { disks: scheduled.length, failures };
}

/**
 * Takes the snapshots that are due, one after the other, and removes those of its own that are too many and that nothing
 * uses. Why one could not be taken stands in the disk's record until the next one is.
 */
export async function takeDueSnapshots(appliance: Appliance, signal: AbortSignal): Promise<void> {
  const { clock, disks, runner } = appliance;
  for (const { id } of disks.list()) {
    if (signal.aborted) return;
    // those before it took their time: it may have another schedule by now
    const schedule = scheduledDisk(appliance, id)?.schedule;
    if (!schedule) continue;
    // whoever is at the disk now, and does not give way, is not in the way for long
    if (!isDue(schedule, clock.now()) || runner.usersOf(id).length > 0) continue;
    const now = clock.now();
    try {
      await takeOne(appliance, id, now);
      await note(appliance, id, (current) => taken(current, now));
    } catch (error) {
      if (signal.aborted) return;
      const { message } = toApplianceError(error);
      appliance.log.warn({ component: "schedule", disk: id, reason: message }, "scheduled snapshot not taken");
      await note(appliance, id, (current) => ({ ...current, failure: { at: now, message } }));
    }
    await removeSurplus(appliance, id, signal);
  }
}

/** The disk, if it still has a schedule. */
function scheduledDisk({ disks }: Appliance, id: string): (DiskRecord & { schedule: SnapshotSchedule }) | undefined {
  const disk = disks.find(id);
  return disk?.schedule && disk.deletedAt === undefined ? { ...disk, schedule: disk.schedule } : undefined;
}

async function takeOne(appliance: Appliance, id: string, now: number): Promise<void> {
  const { name, project } = appliance.disks.find(id) as DiskRecord;
  const request = { project, disk: id, image: scheduledName(name, now), scheduled: true };
  const { id: operation } = await snapshotDisk(appliance, request, REQUESTED_BY);
  const { state, error } = await appliance.runner.settled(operation);
  if (state !== "done") throw new ApplianceError("CONFLICT", error?.message ?? `the operation ended ${state}`);
}

/** Each as things are when it is its turn: people make snapshots their own, and change schedules, while others are removed. */
async function removeSurplus(appliance: Appliance, id: string, signal: AbortSignal): Promise<void> {
  const { clock, images, runner } = appliance;
  const tried = new Set<string>();
  while (!signal.aborted) {
    const disk = scheduledDisk(appliance, id);
    if (!disk) return;
    const image = surplus(images.list(), disk, disk.schedule.keep, clock.now()).find(
      (one) => !tried.has(one.id) && usersOfImage(appliance, one).length === 0,
    );
    if (!image) return;
    tried.add(image.id);
    const removal = await removeImage(appliance, { project: image.project, image: image.id }, REQUESTED_BY);
    await runner.settled(removal.id);
  }
}

/** Changes the schedule that a disk has now: it may have been changed, or ended, meanwhile. */
async function note(
  { disks, records }: Appliance,
  id: string,
  change: (current: SnapshotSchedule) => SnapshotSchedule,
): Promise<void> {
  const disk = disks.find(id);
  if (!disk?.schedule) return;
  await records.commit([{ collection: "disks", key: id, value: { ...disk, schedule: change(disk.schedule) } }]);
}
