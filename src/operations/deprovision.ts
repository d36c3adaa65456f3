import type { DiskRecord } from "../disks/disk.ts";
import { ApplianceError } from "../errors.ts";
import { allocationOf } from "../nodes/allocation.ts";
import { bootNic } from "../nodes/node.ts";
import type { Change } from "../store/records.ts";
import type { Mac } from "../values/mac.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf, dataDisksOf, detached, networkOf, SECRETS } from "./attachment.ts";
import { freeNode, leaveNetworks, lookAtOwner } from "./isolation-steps.ts";
import type { OperationRecord, Procedure, Step, StepContext } from "./operation.ts";
import { ensureOff, powerSeconds, softOff, type Vouched } from "./power-steps.ts";
import { REMOVAL_SECONDS, removeContent } from "./remove-content.ts";

export type DeprovisionRequest = {
  node: string;
  disk: "keep" | "delete";
  /** Cut the power instead of asking the OS first. */
  now: boolean;
  /** The caller has seen the node off: its BMC, which may be dead, is not asked. */
  seenOff?: boolean;
};

type DeprovisionPlan = Vouched & {
  node: string;
  nodeName: string;
  mac: Mac;
  network: string;
  control: number;
  iqn: string;
  disk: string;
  keep: boolean;
  /** Whether a disk that is not kept stays for a while, to be undeleted. */
  later?: boolean;
  now: boolean;
  /** Whether the node is in networks that it must leave. */
  isolated?: boolean;
};

/**
 * Releases a node: off, seen off, then nothing of it is left but its disk, if that is to be kept.
 * NOT_FOUND; CONFLICT when the node is not provisioned; BUSY.
 */
export async function deprovision(
  appliance: Appliance,
  request: DeprovisionRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const node = appliance.nodes.get(request.node);
  appliance.runner.refuseHeld(node.id);
  const entry = bootEntryOf(appliance.records, node.id);
  if (!entry) {
    throw new ApplianceError("CONFLICT", `node ${node.name} is not provisioned`, {
      details: { field: "node", value: node.name, remedy: "there is nothing to release" },
    });
  }
  const network = networkOf(appliance, bootNic(node).network);
  const plan: DeprovisionPlan = {
    node: node.id,
    nodeName: node.name,
    mac: entry.mac,
    network: network.name,
    control: network.tgtd.control,
    iqn: entry.iqn,
    disk: entry.disk,
    keep: request.disk === "keep",
    later: request.disk === "delete" && appliance.config.disks.graceHours > 0,
    now: request.now,
    ...(allocationOf(appliance.records, node.id) ? { isolated: true } : {}),
    ...(request.seenOff ? { seenOff: [node.id] } : {}),
  };
  return appliance.runner.begin("deprovision", {
    summary: `deprovision ${node.name}, ${plan.keep ? "keeping" : "deleting"} its disk`,
    project: node.project,
    requestedBy,
    plan,
    holds: [node.id, entry.disk, ...dataDisksOf(appliance.records, node.id).map(({ id }) => id)],
  });
}

/** The steps of release: power first, since pulling a disk from under a running OS corrupts it. */
export function deprovisionProcedure(appliance: Appliance): Procedure<DeprovisionPlan> {
  const nodeOf = (plan: DeprovisionPlan) => appliance.nodes.get(plan.node);

  const askOff: Step<DeprovisionPlan> = {
    name: "soft-off",
    deadlineSeconds: (plan) => appliance.config.operations.softOffSeconds + powerSeconds(appliance, nodeOf(plan)),
    run: (context) =>
      isOthers(context.output) ? { output: { clean: false } } : softOff(appliance, nodeOf(context.plan), context),
  };

  const powerOff: Step<DeprovisionPlan> = {
    name: "power-off",
    deadlineSeconds: (plan) => powerSeconds(appliance, nodeOf(plan)),
    run: async ({ plan, output, signal, progress }) => {
      if (!isOthers(output)) await ensureOff(appliance, nodeOf(plan), plan, signal, progress);
    },
  };

  /** They are kept, whatever becomes of the disk that it booted. */
  const freeDataDisks = ({ node }: DeprovisionPlan, output: Output) =>
    dataDisksOf(appliance.records, node).flatMap((disk) =>
      freed(disk, disk.dataLun.readOnly ? disk.clean : wasShutDown(output), appliance.clock.now()),
    );

  const dropBootEntry: Step<DeprovisionPlan> = {
    name: "drop-boot-entry",
    deadlineSeconds: 10,
    pointOfNoReturn: true,
    run: ({ plan }) => ({
      changes: [
        { collection: "bootEntries", key: plan.node, value: null },
        ...appliance.leases.unpin(plan.mac, plan.network),
      ],
    }),
  };

  const removeTarget: Step<DeprovisionPlan> = {
    name: "remove-target",
    deadlineSeconds: 30,
    run: async ({ plan, signal }) => {
      await appliance.targets.removeTarget(plan.control, plan.iqn, signal);
      appliance.traffic.forget(plan.iqn);
    },
  };

  const keepDisk: Step<DeprovisionPlan> = {
    name: "keep-disk",
    deadlineSeconds: 10,
    run: ({ plan, output }) => ({
      changes: [
        ...freed(appliance.disks.find(plan.disk), wasShutDown(output), appliance.clock.now()),
        { collection: SECRETS, key: plan.disk, value: null },
        ...freeDataDisks(plan, output),
      ],
    }),
  };

  const markDeleted: Step<DeprovisionPlan> = {
    name: "mark-deleted",
    deadlineSeconds: 10,
    run: ({ plan, output }) => {
      const now = appliance.clock.now();
      return {
        changes: [
          ...freed(appliance.disks.find(plan.disk), wasShutDown(output), now, { deletedAt: now }),
          { collection: SECRETS, key: plan.disk, value: null },
          ...freeDataDisks(plan, output),
        ],
      };
    },
  };

  const deleteDisk: Step<DeprovisionPlan> = {
    name: "delete-disk",
    deadlineSeconds: REMOVAL_SECONDS,
    run: async ({ plan, output, signal }) => {
      await removeContent(appliance, "disk", plan.disk, signal);
      return {
        changes: [
          ...freeDataDisks(plan, output),
          { collection: "disks", key: plan.disk, value: null },
          { collection: SECRETS, key: plan.disk, value: null },
        ],
      };
    },
  };

  return {
    kind: "deprovision",
    steps: (plan) => [
      ...(plan.isolated ? [lookAtOwner<DeprovisionPlan>(appliance, "look-at-owner", ({ node }) => node)] : []),
      ...(plan.now ? [] : [askOff]),
      powerOff,
      ...(plan.isolated ? [leaveNetworks<DeprovisionPlan>(appliance, "leave-networks", ({ node }) => node)] : []),
      dropBootEntry,
      removeTarget,
      plan.keep ? keepDisk : plan.later ? markDeleted : deleteDisk,
      ...(plan.isolated ? [freeNode<DeprovisionPlan>(appliance, "free-node", ({ node }) => node)] : []),
    ],
  };
}

type Output = StepContext<DeprovisionPlan>["output"];

/** Whether the isolator has given the node to another project: whoever is on it is none of ours to switch off. */
function isOthers(output: Output): boolean {
  return output("look-at-owner")?.isOurs === false;
}

function wasShutDown(output: Output): boolean {
  return output("soft-off")?.clean === true;
}

function freed(disk: DiskRecord | undefined, clean: boolean, at: number, also: Partial<DiskRecord> = {}): Change[] {
  if (!disk) return [];
  return [{ collection: "disks", key: disk.id, value: { ...detached(disk), clean, detachedAt: at, ...also } }];
}
