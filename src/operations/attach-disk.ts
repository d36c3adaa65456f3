import type { DiskRecord } from "../disks/disk.ts";
import { ApplianceError } from "../errors.ts";
import { allocationOf } from "../nodes/allocation.ts";
import type { NodeRecord } from "../nodes/node.ts";
import { noSuchNode } from "../nodes/node-registry.ts";
import { targetIqn } from "../values/iqn.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf, dataDisksOf, detached, detachRemedy, freeLun, SECRETS } from "./attachment.ts";
import { followRecords } from "./data-disk-steps.ts";
import { seeUnserved } from "./former-targets.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import type { OperationRequest } from "./runner.ts";
import { takeDisk } from "./take-disk.ts";

export type AttachRequest = {
  project: string;
  disk: string;
  node: string;
  /** Its node can't write to it. */
  readOnly?: boolean;
  /** Where the node finds it; the lowest free one from 2 by default. */
  lun?: number;
  /** Take it from the node that boots it, which is powered off first and released. */
  forceOff?: boolean;
  /** With forceOff: the caller has seen that node off; its BMC, which may be dead, is not asked. */
  seenOff?: boolean;
};

type AttachPlan = {
  node: string;
  disk: string;
  lun: number;
  readOnly: boolean;
  /** Id of the node that loses the disk. */
  takenFrom?: string;
  seenOff?: string[];
  /** Name of the target that this node boots from. */
  iqn: string;
};

/**
 * Gives a node a disk beside the one that it boots: a further LUN of its target, under the running OS. A disk has one
 * node at a time, so nobody else writes to what is attached read-only.
 * NOT_FOUND; CONFLICT when the node boots nothing; IN_USE for a disk or a LUN that is taken; BUSY.
 */
export async function attachDisk(
  appliance: Appliance,
  request: AttachRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  return appliance.runner.begin("attach", () => newAttachment(appliance, request, requestedBy));
}

function newAttachment(
  appliance: Appliance,
  request: AttachRequest,
  requestedBy: string,
): OperationRequest<AttachPlan> {
  const { project, readOnly = false } = request;
  const disk = appliance.disks.get(project, request.disk);
  const node = appliance.nodes.get(request.node);
  // a project's things are there for itself alone
  if (node.project !== project) throw noSuchNode(request.node);
  for (const { id } of [disk, node]) appliance.runner.refuseHeld(id);
  if (!bootEntryOf(appliance.records, node.id)) {
    throw new ApplianceError("CONFLICT", `node ${node.name} boots nothing, so it has no target to attach a disk to`, {
      details: {
        field: "node",
        value: node.name,
        remedy: `ingot provision ${node.name} --image IMAGE --data ${disk.name}`,
      },
    });
  }
  const takenFrom = ownerToFence(appliance, disk, node, request.forceOff ?? false);
  const lun = freeLun(dataDisksOf(appliance.records, node.id), request.lun);
  const released = takenFrom === undefined ? [] : dataDisksOf(appliance.records, takenFrom);
  return {
    summary: `attach disk ${disk.name} to ${node.name} as LUN ${lun}${readOnly ? ", read-only" : ""}`,
    project,
    requestedBy,
    plan: {
      node: node.id,
      disk: disk.id,
      lun,
      readOnly,
      ...(takenFrom ? { takenFrom } : {}),
      ...(takenFrom && allocationOf(appliance.records, takenFrom) ? { otherIsolated: true } : {}),
      ...(takenFrom && request.seenOff ? { seenOff: [takenFrom] } : {}),
      iqn: targetIqn(appliance.id, disk.id),
    },
    holds: [disk.id, node.id, ...(takenFrom ? [takenFrom] : []), ...released.map(({ id }) => id)],
  };
}

/** The node that must be off before the disk can be attached; none for a disk that nobody has. */
function ownerToFence(appliance: Appliance, disk: DiskRecord, node: NodeRecord, forceOff: boolean): string | undefined {
  if (disk.node === undefined) return undefined;
  const owner = appliance.nodes.get(disk.node);
  if (forceOff && disk.dataLun === undefined && owner.id !== node.id) return owner.id;
  const place = disk.dataLun === undefined ? "what it boots" : `its LUN ${disk.dataLun.lun}`;
  const canForce = disk.dataLun === undefined && owner.id !== node.id;
  const force = canForce ? ", or --force-off to power it off and take its disk" : "";
  throw new ApplianceError("IN_USE", `disk ${disk.name} is attached to node ${owner.name}: ${place}`, {
    details: { field: "disk", value: disk.name, remedy: `${detachRemedy(disk, owner)}${force}` },
  });
}

/** The steps of attaching; a node that loses the disk is fenced and released for good, also when the rest is undone. */
export function attachProcedure(appliance: Appliance): Procedure<AttachPlan> {
  const diskOf = ({ disk }: AttachPlan) => appliance.disks.find(disk);
  return {
    kind: "attach",
    steps: (plan) => [
      seeUnserved(appliance),
      followRecords(appliance, "check-target"),
      ...(plan.takenFrom
        ? takeDisk<AttachPlan>(appliance, plan, (plan, dataDisks) => [
            ...[diskOf(plan), ...dataDisks].flatMap((disk) =>
              disk ? [{ collection: "disks", key: disk.id, value: detached(disk) }] : [],
            ),
            { collection: SECRETS, key: plan.disk, value: null },
          ])
        : []),
      {
        name: "attach-disk",
        deadlineSeconds: 10,
        run: ({ plan }) => {
          const disk = diskOf(plan);
          if (!disk) throw new ApplianceError("INTERNAL", `disk ${plan.disk} has no record`);
          const { node, lun, readOnly } = plan;
          const value = { ...disk, node, dataLun: { lun, readOnly }, clean: readOnly && disk.clean };
          return { changes: [{ collection: "disks", key: disk.id, value }] };
        },
        undo: ({ plan }) => {
          const disk = diskOf(plan);
          // one that was not attached yet may still be another node's
          if (disk?.node !== plan.node) return {};
          return { changes: [{ collection: "disks", key: disk.id, value: detached(disk) }] };
        },
      },
      followRecords(appliance, "export-lun", ({ lun }) => lun),
    ],
  };
}
