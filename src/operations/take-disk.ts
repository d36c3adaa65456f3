import { bootNic } from "../nodes/node.ts";
import type { Change } from "../store/records.ts";
import type { Appliance } from "./appliance.ts";
import { type DataDisk, dataDisksOf, networkOf } from "./attachment.ts";
import type { Step } from "./operation.ts";
import { ensureOff, powerSeconds, type Vouched } from "./power-steps.ts";

/** A plan that may take a disk from the node that boots it: that node's id, and the name of the disk's target. */
export type Taking = Vouched & { takenFrom?: string; iqn: string };

/**
 * Fences the node that boots the disk, then takes it: from here that node has none, whatever comes. `changes`: what else
 * becomes of the records in the same journal line; it is given the node's data disks.
 */
export function takeDisk<Plan extends Taking>(
  appliance: Appliance,
  changes: (plan: Plan, dataDisks: DataDisk[]) => Change[],
): Step<Plan>[] {
  const other = (plan: Plan) => appliance.nodes.get(plan.takenFrom as string);
  return [
    {
      name: "fence-other",
      deadlineSeconds: (plan) => powerSeconds(appliance, other(plan)),
      run: ({ plan, signal }) => ensureOff(appliance, other(plan), plan, signal),
    },
    {
      name: "release-other",
      deadlineSeconds: 30,
      run: async ({ plan, signal }) => {
        const nic = bootNic(other(plan));
        await appliance.targets.removeTarget(networkOf(appliance, nic.network).tgtd.control, plan.iqn, signal);
        return {
          changes: [
            { collection: "bootEntries", key: plan.takenFrom as string, value: null },
            ...appliance.leases.unpin(nic.mac, nic.network),
            ...changes(plan, dataDisksOf(appliance.records, plan.takenFrom as string)),
          ],
        };
      },
    },
  ];
}
