import { ApplianceError } from "../../../errors.ts";
import type { PoolSpace, StoredThing } from "../pool-space.ts";
import type { RbdPool } from "./rbd-pool.ts";
import { kindOf } from "./rbd-store.ts";

/** The room of a Ceph pool: the cluster's own watermarks guard it, and it grows with the cluster. */
export function createRbdPoolSpace(pool: RbdPool, place: string): PoolSpace {
  const refuse = async () => {
    throw new ApplianceError("UNSUPPORTED", `pool: ${place} grows with its cluster`, {
      details: {
        field: "pool.store",
        value: "rbd",
        remedy: "add OSDs, or raise the pool's quota: ceph osd pool set-quota",
      },
    });
  };
  return {
    async largest(limit, signal) {
      const things = (await pool.usedByAll(signal)).flatMap(({ image: id, ...sizes }): StoredThing[] => {
        const kind = kindOf(id);
        return kind ? [{ kind, id, ...sizes }] : [];
      });
      return things.sort((a, b) => b.usedBytes - a.usedBytes).slice(0, limit);
    },
    keepBallast: async () => {},
    releaseBallast: async () => 0,
    allocateFile: refuse,
    trimFile: refuse,
    growFilesystem: refuse,
  };
}
