import { ApplianceError } from "../../../errors.ts";
import type { StoredKind } from "../image-store.ts";
import type { PoolSpace, StoredThing } from "../pool-space.ts";
import type { RbdPool } from "./rbd-pool.ts";

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
      const things: StoredThing[] = [];
      for (const id of await pool.list(signal)) {
        const kind: StoredKind | undefined = id.startsWith("img-")
          ? "image"
          : id.startsWith("disk-")
            ? "disk"
            : undefined;
        const sizeBytes = kind && (await pool.size(id, signal));
        if (kind && sizeBytes !== undefined)
          things.push({ kind, id, sizeBytes, usedBytes: await pool.used(id, signal) });
      }
      return things.sort((a, b) => b.usedBytes - a.usedBytes).slice(0, limit);
    },
    keepBallast: async () => {},
    releaseBallast: async () => 0,
    allocateFile: refuse,
    trimFile: refuse,
    growFilesystem: refuse,
  };
}
