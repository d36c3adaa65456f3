import { bootNic } from "../nodes/node.ts";
import type { Change } from "../store/records.ts";
import type { Appliance } from "./appliance.ts";
import { type DataDisk, dataDisksOf, networkOf } from "./attachment.ts";
import { freeNode, leaveNetworks, lookAtOwner } from "./isolation-steps.ts";
import type { Step, StepContext } from "./operation.ts";
import { ensureOff, powerSeconds, type Vouched } from "./power-steps.ts";

/**
 * A plan that may take a disk from the node that boots it: that node's id, whether it is in networks that it must leave, and
 * the name of the disk's target.
 */
export type Taking = Vouched & { takenFrom?: string; otherIsolated?: boolean; iqn: string };

/** The step that sees whose the other node is by now. */
const LOOK = "look-at-other";

/**
 * Fences the node that boots the disk, then takes it: from here that node has none, whatever comes. `changes`: what else
 * becomes of the records in the same journal line; it is given the node's data disks.
 */
export function takeDisk<Plan extends Taking>(
  appliance: Appliance,
  plan: Plan,
  changes: (plan: Plan, dataDisks: DataDisk[]) => Change[],
): Step<Plan>[] {
  const other = (plan: Plan) => appliance.nodes.get(plan.takenFrom as string);
  // the records go first, or the watch over targets would make it again; nobody is to have it afterwards, whatever comes
  const withdraw = ({ plan, signal }: StepContext<Plan>) => {
    const { control } = networkOf(appliance, bootNic(other(plan)).network).tgtd;
    return appliance.targets.removeTarget(control, plan.iqn, signal);
  };
  const otherId = (plan: Plan) => plan.takenFrom as string;
  const free = freeNode<Plan>(appliance, "free-other", otherId);
  const leave: Step<Plan> = {
    ...leaveNetworks<Plan>(appliance, "leave-networks-other", otherId),
    pointOfNoReturn: false,
    // it is released, whatever comes: what the later steps had to do is done here, in their order
    undo: async (context) => {
      await leave.run(context);
      await withdraw(context);
      return await free.run(context);
    },
  };
  return [
    ...(plan.otherIsolated ? [lookAtOwner<Plan>(appliance, LOOK, otherId)] : []),
    {
      name: "fence-other",
      deadlineSeconds: (plan) => powerSeconds(appliance, other(plan)),
      run: async ({ plan, output, signal, progress }) => {
        // whoever has got it from the isolator meanwhile is none of ours to switch off
        if (output(LOOK)?.isOurs !== false) await ensureOff(appliance, other(plan), plan, signal, progress);
      },
    },
    {
      name: "release-other",
      deadlineSeconds: 10,
      run: ({ plan }) => {
        const nic = bootNic(other(plan));
        return {
          changes: [
            { collection: "bootEntries", key: plan.takenFrom as string, value: null },
            ...appliance.leases.unpin(nic.mac, nic.network),
            ...changes(plan, dataDisksOf(appliance.records, plan.takenFrom as string)),
          ],
        };
      },
    },
    ...(plan.otherIsolated ? [leave] : []),
    { name: "withdraw-other", deadlineSeconds: 30, run: withdraw, undo: withdraw },
    ...(plan.otherIsolated ? [free] : []),
  ];
}
