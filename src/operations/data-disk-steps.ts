import type { Appliance } from "./appliance.ts";
import { bootEntryOf, networkOf, targetSpec } from "./attachment.ts";
import type { Step, StepContext } from "./operation.ts";

/**
 * Makes a node's target as the records have it. One before the step that changes the records sees that the target server
 * is there, and takes the LUN back once that change is undone; one after it brings the LUN about. Records come first and
 * targets follow, so that the watch over targets, which does the same, never works against an operation.
 */
export function followRecords<Plan extends { node: string }>(appliance: Appliance, name: string): Step<Plan> {
  const follow = async ({ plan, signal }: StepContext<Plan>) => {
    const entry = bootEntryOf(appliance.records, plan.node);
    if (!entry) return;
    const { control } = networkOf(appliance, entry.network).tgtd;
    await appliance.targets.ensureTarget(control, await targetSpec(appliance, entry), signal);
  };
  return { name, deadlineSeconds: 30, run: follow, undo: follow };
}
