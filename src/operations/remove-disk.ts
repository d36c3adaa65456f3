import type { DiskRecord } from "../disks/disk.ts";
import { ApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { detachRemedy } from "./attachment.ts";
import { seeUnserved } from "./former-targets.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { REMOVAL_SECONDS, removeContent } from "./remove-content.ts";

/** `later`: it is only put out of sight; its content goes when the grace is over. */
type RemoveDiskPlan = { disk: string; later: boolean };

/**
 * Deletes a disk: its name is free at once, and for `disks.graceHours` it can be undeleted; `now`, for good. IN_USE while
 * it is attached to a node.
 */
export async function removeDisk(
  appliance: Appliance,
  request: { project: string; disk: string; now?: boolean },
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
  return begin(appliance, disk, appliance.config.disks.graceHours > 0 && request.now !== true, requestedBy);
}

/** Ends the grace of a deleted disk: its content goes for good. NOT_FOUND when there is no such deleted disk. */
export async function purgeDisk(
  appliance: Appliance,
  { project, disk }: { project: string; disk: string },
  requestedBy: string,
): Promise<OperationRecord> {
  return begin(appliance, appliance.disks.getDeleted(project, disk), false, requestedBy);
}

function begin({ runner }: Appliance, disk: DiskRecord, later: boolean, requestedBy: string): Promise<OperationRecord> {
  return runner.begin<RemoveDiskPlan>("remove-disk", {
    summary: `${disk.deletedAt === undefined ? "remove" : "purge"} disk ${disk.name}`,
    project: disk.project,
    requestedBy,
    plan: { disk: disk.id, later },
    holds: [disk.id],
  });
}

/** Brings a deleted disk back, under another name if one is given. NOT_FOUND; EXISTS when its name was taken meanwhile; BUSY. */
export async function undeleteDisk(
  { disks, records, runner }: Appliance,
  request: { project: string; disk: string; as?: string },
): Promise<DiskRecord> {
  const { deletedAt: _, ...disk } = disks.getDeleted(request.project, request.disk);
  runner.refuseHeld(disk.id);
  const name = request.as ?? disk.name;
  disks.checkNewName(disk.project, name);
  const back = { ...disk, name };
  await records.commit([{ collection: "disks", key: disk.id, value: back }]);
  return back;
}

/** A disk's removal: out of sight, or its content and record. There is no way back from that. */
export function removeDiskProcedure(appliance: Appliance): Procedure<RemoveDiskPlan> {
  return {
    kind: "remove-disk",
    steps: ({ later }) => [
      seeUnserved(appliance),
      later
        ? {
            name: "mark-deleted",
            deadlineSeconds: 10,
            run: ({ plan }) => {
              const disk = { ...appliance.disks.find(plan.disk), deletedAt: appliance.clock.now() };
              return { changes: [{ collection: "disks", key: plan.disk, value: disk }] };
            },
          }
        : {
            name: "remove-content",
            deadlineSeconds: REMOVAL_SECONDS,
            pointOfNoReturn: true,
            run: async ({ plan, signal }) => {
              await removeContent(appliance, "disk", plan.disk, signal);
              return { changes: [{ collection: "disks", key: plan.disk, value: null }] };
            },
          },
    ],
  };
}
