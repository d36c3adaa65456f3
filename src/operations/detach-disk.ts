import type { DataLun } from "../disks/disk.ts";
import { ApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { detached } from "./attachment.ts";
import { followRecords } from "./data-disk-steps.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { powerSeconds, requireOff, type Vouched } from "./power-steps.ts";

export type DetachRequest = {
  project: string;
  disk: string;
  /** The caller has unmounted it and had the node's OS let go of it, so the node may be on. */
  unmounted?: boolean;
  /** The caller has seen the node off; its BMC, which may be dead, is not asked. */
  seenOff?: boolean;
};

type DetachPlan = Vouched & {
  node: string;
  disk: string;
  unmounted: boolean;
  /** As it was, for undo. */
  dataLun: DataLun;
  clean: boolean;
};

/**
 * Takes a data disk from its node, and keeps it. The node must be off, or its OS must have let go of the disk, which only
 * an operator can tell: what it has not written yet is lost otherwise.
 * NOT_FOUND; CONFLICT when the disk is no data disk, or (in the operation) when the node is on.
 */
export async function detachDisk(
  appliance: Appliance,
  request: DetachRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const { project, unmounted = false, seenOff = false } = request;
  const disk = appliance.disks.get(project, request.disk);
  appliance.runner.refuseHeld(disk.id);
  if (disk.node === undefined) {
    throw new ApplianceError("CONFLICT", `disk ${disk.name} is attached to no node`, {
      details: { field: "disk", value: disk.name, remedy: "there is nothing to detach" },
    });
  }
  const node = appliance.nodes.get(disk.node);
  if (disk.dataLun === undefined) {
    throw new ApplianceError("CONFLICT", `disk ${disk.name} is what node ${node.name} boots`, {
      details: { field: "disk", value: disk.name, remedy: `ingot deprovision ${node.name} releases both` },
    });
  }
  return appliance.runner.begin<DetachPlan>("detach", {
    summary: `detach disk ${disk.name} from ${node.name}`,
    project,
    requestedBy,
    plan: {
      node: node.id,
      disk: disk.id,
      unmounted,
      dataLun: disk.dataLun,
      clean: disk.clean,
      ...(seenOff ? { seenOff: [node.id] } : {}),
    },
    holds: [disk.id, node.id],
  });
}

/** The steps of detaching: the record first, then the target follows it. */
export function detachProcedure(appliance: Appliance): Procedure<DetachPlan> {
  const nodeOf = ({ node }: DetachPlan) => appliance.nodes.get(node);
  return {
    kind: "detach",
    steps: ({ unmounted }) => [
      ...(unmounted
        ? []
        : [
            {
              name: "see-node-off",
              deadlineSeconds: (plan: DetachPlan) => powerSeconds(appliance, nodeOf(plan)),
              run: ({ plan, signal }: { plan: DetachPlan; signal: AbortSignal }) => {
                const node = nodeOf(plan);
                const remedy = `ingot node power ${node.name} soft-off first; or unmount it there, delete its device, and say --unmounted`;
                return requireOff(appliance, node, plan, { disk: plan.disk, remedy }, signal);
              },
            },
          ]),
      followRecords(appliance, "check-target"),
      {
        name: "detach-disk",
        deadlineSeconds: 10,
        run: ({ plan }) => {
          const disk = appliance.disks.find(plan.disk);
          if (!disk) return {};
          const clean = plan.dataLun.readOnly ? plan.clean : plan.unmounted;
          return {
            changes: [
              {
                collection: "disks",
                key: disk.id,
                value: { ...detached(disk), clean, detachedAt: appliance.clock.now() },
              },
            ],
          };
        },
        undo: ({ plan }) => {
          const disk = appliance.disks.find(plan.disk);
          if (!disk) return {};
          const { node, dataLun, clean } = plan;
          return { changes: [{ collection: "disks", key: disk.id, value: { ...disk, node, dataLun, clean } }] };
        },
      },
      followRecords(appliance, "withdraw-lun"),
    ],
  };
}
