import { ApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { detachRemedy } from "./attachment.ts";
import { refuseServedByFormer } from "./former-targets.ts";
import type { OperationRecord, Procedure } from "./operation.ts";

type RemoveDiskPlan = { disk: string };

/** Deletes a disk for good. IN_USE while it is attached to a node. */
export async function removeDisk(
  appliance: Appliance,
  request: { project: string; disk: string },
  requestedBy: string,
): Promise<OperationRecord> {
  const disk = appliance.disks.get(request.project, request.disk);
  if (disk.node !== undefined) {
    const node = appliance.nodes.get(disk.node);
    throw new ApplianceError("IN_USE", `disk ${disk.name} is attached to node ${node.name}`, {
      details: {
        field: "disk",
        value: disk.name,
        remedy: disk.dataLun ? detachRemedy(disk, node) : `ingot deprovision ${node.name} --delete-disk does both`,
      },
    });
  }
  await refuseServedByFormer(appliance, disk);
  return appliance.runner.begin<RemoveDiskPlan>("remove-disk", {
    summary: `remove disk ${disk.name}`,
    project: request.project,
    requestedBy,
    plan: { disk: disk.id },
    holds: [disk.id],
  });
}

/** The one step of a disk's removal: its content and record. There is no way back. */
export function removeDiskProcedure(appliance: Appliance): Procedure<RemoveDiskPlan> {
  return {
    kind: "remove-disk",
    steps: () => [
      {
        name: "remove-content",
        deadlineSeconds: 120,
        pointOfNoReturn: true,
        run: async ({ plan, signal }) => {
          await appliance.store.remove("disk", plan.disk, signal);
          return { changes: [{ collection: "disks", key: plan.disk, value: null }] };
        },
      },
    ],
  };
}
