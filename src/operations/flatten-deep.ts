import { deeperThan } from "../images/chain-depth.ts";
import type { Appliance } from "./appliance.ts";
import type { Chore } from "./chores.ts";
import { flatten } from "./flatten.ts";

/** One that came to nothing, or gave way, is left alone for so long. */
const REST_MS = 3_600_000;

/**
 * A chore that flattens disks and images whose reads may go through more than `disks.maxChainDepth` others: the deepest
 * first, one at a time, only while the pool has room, and giving way to whatever else wants the thing. Only in Ceph: files
 * that share blocks read as fast as others.
 */
export function createFlattenDeep(appliance: Appliance): Chore {
  const restUntil = new Map<string, number>();
  return async (signal) => {
    const { clock, config, disks, images, pool, runner } = appliance;
    if (config.pool.store !== "rbd") return;
    const things = [
      ...disks.list().map((record) => ({ kind: "disk" as const, record, depth: record.depth ?? 0 })),
      ...images
        .list()
        .filter(({ ready }) => ready)
        .map((record) => ({ kind: "image" as const, record, depth: record.depth ?? 0 })),
    ];
    for (const { kind, record } of deeperThan(things, config.disks.maxChainDepth)) {
      if (signal.aborted || pool.level !== "ok") return;
      const isResting = (restUntil.get(record.id) ?? 0) > clock.now();
      if (isResting || runner.holder(record.id) !== undefined) continue;
      const request = { project: record.project, kind, name: record.id, yields: true };
      const { id } = await flatten(appliance, request, "ingot");
      const { state } = await runner.settled(id);
      if (state !== "done") restUntil.set(record.id, clock.now() + REST_MS);
    }
  };
}
