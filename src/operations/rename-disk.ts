import type { DiskRecord } from "../disks/disk.ts";
import type { Appliance } from "./appliance.ts";

/** Gives a disk another name; whatever goes on with it goes on. EXISTS, INVALID, NOT_FOUND. */
export async function renameDisk(
  { disks, records }: Appliance,
  { project, disk: former, name }: { project: string; disk: string; name: string },
): Promise<DiskRecord> {
  const disk = disks.get(project, former);
  if (disk.name === name) return disk;
  disks.checkNewName(project, name);
  const renamed = { ...disk, name };
  await records.commit([{ collection: "disks", key: disk.id, value: renamed }]);
  return renamed;
}
