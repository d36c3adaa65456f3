import type { StoredThing } from "../drivers/images/pool-space.ts";
import { ApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import type { PoolState } from "./pool-watch.ts";

const LOOK_SECONDS = 10;
/** Named in an error: it should fit on a few lines. */
const FEW = 3;
const GIB = 1024 ** 3;

/** A stored thing by its name; one without a record has none. */
export type NamedThing = StoredThing & {
  name?: string;
  /** Name of the node that has the disk. */
  node?: string;
};

/** A look at the pool, and what takes up most of it, the largest first. */
export type PoolReport = PoolState & { largest: NamedThing[] };

/** How full the pool is, and what takes up most of it; at most `limit` things. Looks at every file: not for a loop. */
export async function poolReport(appliance: Appliance, limit: number): Promise<PoolReport> {
  const signal = lookSignal();
  const state = await appliance.pool.look(signal);
  const largest = await appliance.space.largest(limit, signal);
  return { ...state, largest: largest.map((thing) => named(appliance, thing)) };
}

/**
 * POOL_FULL when the pool takes no clones, imports and snapshots any more; names the largest disks. What the pool watch
 * last saw decides, so that this costs nothing as long as there is room; when it could not see, it looks again, and this
 * fails as that does.
 */
export async function checkPoolOpen(appliance: Appliance): Promise<void> {
  const { pool } = appliance;
  const seen = pool.level === "unknown" ? (await pool.look(lookSignal())).level : pool.level;
  if (!isShut(seen)) return;
  const { level, usedPercent, usage, largest } = await poolReport(appliance, 1000);
  if (!isShut(level)) return;
  const disks = largest.filter(({ kind }) => kind === "disk");
  const idle = disks.find(({ node, name }) => node === undefined && name !== undefined);
  const grow = "ingot pool grow makes the pool larger";
  throw new ApplianceError("POOL_FULL", `pool: ${usedPercent} % full, takes no new clones, imports or snapshots`, {
    details: {
      level,
      usedPercent,
      freeBytes: usage.freeBytes,
      largestDisks: disks.slice(0, FEW).map(describe),
      remedy: "remove disks that you need no more (ingot disk rm DISK --now), or ask for a larger pool",
      operatorRemedy: idle
        ? `remove disks that nobody needs (ingot pool show lists the largest; ${describe(idle)} is on no node: ingot disk rm ${idle.name} --now), or: ${grow}`
        : `${disks.length > 0 ? `release a node with its disk (largest: ${disks.slice(0, FEW).map(describe).join(", ")}), or: ` : ""}${grow}`,
    },
  });
}

function lookSignal(): AbortSignal {
  return AbortSignal.timeout(LOOK_SECONDS * 1000);
}

function isShut(level: string): boolean {
  return level === "closed" || level === "critical";
}

function named(appliance: Appliance, thing: StoredThing): NamedThing {
  if (thing.kind === "image") return { ...thing, ...nameOf(appliance.images.find(thing.id)) };
  const disk = appliance.disks.find(thing.id);
  const node = disk?.node === undefined ? undefined : appliance.nodes.get(disk.node);
  return { ...thing, ...nameOf(disk), ...(node ? { node: node.name } : {}) };
}

function nameOf(record: { name: string } | undefined): { name?: string } {
  return record ? { name: record.name } : {};
}

function describe({ name, id, usedBytes }: NamedThing): string {
  return `${name ?? id} with ${(usedBytes / GIB).toFixed(1)} GiB`;
}
