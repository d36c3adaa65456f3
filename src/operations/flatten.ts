import type { DiskRecord } from "../disks/disk.ts";
import type { StoredKind } from "../drivers/images/image-store.ts";
import { ApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";

/** `yields`: whether it ends when another operation wants the thing. */
export type FlattenWhat = { project: string; kind: StoredKind; name: string; yields?: boolean };

type FlattenPlan = { kind: StoredKind; id: string; served: boolean };

/**
 * Gives a disk or an image a copy of its own of all that it shares with what it came from; nodes go on with it. NOT_FOUND,
 * CONFLICT (an image that is not complete), BUSY, POOL_FULL.
 */
export async function flatten(
  appliance: Appliance,
  { project, kind, name, yields }: FlattenWhat,
  requestedBy: string,
): Promise<OperationRecord> {
  await checkPoolOpen(appliance);
  const record = kind === "disk" ? appliance.disks.get(project, name) : wholeImage(appliance, project, name);
  return appliance.runner.begin<FlattenPlan>("flatten", {
    summary: `flatten ${kind} ${record.name}`,
    project: record.project,
    requestedBy,
    plan: { kind, id: record.id, served: "node" in record && record.node !== undefined },
    ...(yields ? { yields } : {}),
    ...(kind === "disk" ? { holds: [record.id] } : { holds: [], uses: [record.id] }),
  });
}

function wholeImage(appliance: Appliance, project: string, name: string): ImageRecord {
  const image = appliance.images.get(project, name);
  if (image.ready) return image;
  throw new ApplianceError("CONFLICT", `image ${image.name} is not complete`, {
    details: { field: "image", value: name, remedy: "wait for its import or snapshot: ingot operation list" },
  });
}

/** The one step of a flattening. It changes no content, so there is nothing to undo: what was copied stays the thing's own. */
export function flattenProcedure(appliance: Appliance): Procedure<FlattenPlan> {
  return {
    kind: "flatten",
    steps: () => [
      {
        name: "copy-shared",
        deadlineSeconds: 24 * 3600,
        run: async ({ plan, progress, signal }) => {
          await appliance.store.flatten(plan, (done, total) => progress(done, total, "bytes"), signal);
          const collection = plan.kind === "disk" ? "disks" : "images";
          const record = appliance.records.collection<DiskRecord | ImageRecord>(collection).get(plan.id);
          return record ? { changes: [{ collection, key: plan.id, value: { ...record, depth: 0 } }] } : {};
        },
      },
    ],
  };
}
