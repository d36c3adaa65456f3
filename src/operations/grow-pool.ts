import { poolPlace } from "../config/pool-place.ts";
import type { Config } from "../config/schema.ts";
import { ApplianceError } from "../errors.ts";
import { DEFAULT_PROJECT } from "../projects/project.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";

const LOOK_SECONDS = 10;
const GIB = 1024 ** 3;
/** What the operation holds: one pool, one growth at a time. */
const POOL = "pool";
const ALLOCATION_SECONDS = 3600;

/** The new size of the pool's file, or how much more it shall have: one of them. */
export type GrowPoolRequest = { sizeBytes?: number; addedBytes?: number };

type GrowPoolPlan = { sizeBytes: number; formerBytes: number };

/**
 * Makes the file that the pool lives in larger, while nodes run from it. To the size that it has: gives a sparse one its
 * blocks. INVALID for a smaller size, UNSUPPORTED when the pool lives on a device of its own; that the disk below has no
 * room shows in the operation.
 */
export async function growPool(
  appliance: Appliance,
  { sizeBytes, addedBytes }: GrowPoolRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  appliance.runner.refuseHeld(POOL);
  if ((sizeBytes === undefined) === (addedBytes === undefined)) {
    throw new ApplianceError("INVALID", "size: say how large the pool shall be", {
      details: { field: "sizeBytes", remedy: "give sizeBytes or addedBytes" },
    });
  }
  const { file, filesystem } = (await appliance.pool.look(AbortSignal.timeout(LOOK_SECONDS * 1000))).usage;
  if (!file) throw growsByHand(appliance.config.pool, filesystem);
  const wanted = sizeBytes ?? file.sizeBytes + (addedBytes as number);
  if (wanted < file.sizeBytes) {
    throw new ApplianceError("INVALID", `size: the pool's file has ${toGib(file.sizeBytes)} already`, {
      details: { field: "sizeBytes", value: wanted, remedy: "pools grow and never shrink: name a larger size" },
    });
  }
  return appliance.runner.begin<GrowPoolPlan>("grow-pool", {
    summary: `grow pool to ${toGib(wanted)}`,
    project: DEFAULT_PROJECT,
    requestedBy,
    plan: { sizeBytes: wanted, formerBytes: file.sizeBytes },
    holds: [POOL],
  });
}

/** The steps of growing the pool: the file first, which can go back; its file system then, which never does. */
export function growPoolProcedure({ space }: Appliance): Procedure<GrowPoolPlan> {
  return {
    kind: "grow-pool",
    steps: () => [
      {
        name: "allocate-file",
        deadlineSeconds: ALLOCATION_SECONDS,
        run: ({ plan, progress, signal }) =>
          space.allocateFile(plan.sizeBytes, (done, total) => progress(done, total, "bytes"), signal),
        undo: ({ plan, signal }) => space.trimFile(plan.formerBytes, signal),
      },
      {
        name: "grow-filesystem",
        deadlineSeconds: 600,
        pointOfNoReturn: true,
        run: ({ signal }) => space.growFilesystem(signal),
      },
    ],
  };
}

function growsByHand(pool: Config["pool"], filesystem: string): ApplianceError {
  const { store, directory } = pool;
  const command = filesystem === "btrfs" ? `btrfs filesystem resize max ${directory}` : `xfs_growfs -d ${directory}`;
  const remedy =
    store === "rbd"
      ? "give the cluster more OSDs, or the pool a larger quota: ceph osd pool get-quota"
      : `enlarge that device (lvextend, or growpart for a partition), then run: ${command}`;
  const where = store === "rbd" ? "in a cluster" : "on a device of its own";
  return new ApplianceError("UNSUPPORTED", `pool: ${poolPlace(pool)} lives ${where}, not in a file`, {
    details: { field: "pool", value: poolPlace(pool), remedy },
  });
}

function toGib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}
