import type { DiskRecord } from "../disks/disk.ts";
import type { Appliance } from "./appliance.ts";

/** So many of the pool's things are asked for their size. */
const MOST = 10_000;
const LOOK_SECONDS = 60;

/** A disk that no node has: since when, and how many bytes are allocated to it, where the pool could say. */
export type OrphanDisk = { disk: DiskRecord; since: number; usedBytes?: number };

/** The disks of a project that no node has, those that were left longest ago first. Fails as a look at the pool does. */
export async function orphanDisks(appliance: Appliance, project: string): Promise<OrphanDisk[]> {
  const things = await appliance.space.largest(MOST, AbortSignal.timeout(LOOK_SECONDS * 1000));
  const used = new Map(things.map(({ id, usedBytes }) => [id, usedBytes]));
  return appliance.disks
    .list(project)
    .filter(({ node }) => node === undefined)
    .map((disk) => {
      const usedBytes = used.get(disk.id);
      const since = disk.detachedAt ?? disk.createdAt;
      return { disk, since, ...(usedBytes === undefined ? {} : { usedBytes }) };
    })
    .sort((a, b) => a.since - b.since);
}
