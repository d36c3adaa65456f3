import { toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf, networkOf, targetSpec } from "./attachment.ts";
import type { Step, StepContext } from "./operation.ts";

/**
 * Makes a node's target as the records have it. One before the step that changes the records sees that the target server
 * is there, and takes the LUN back once that change is undone; one after it brings the LUN about. Records come first and
 * targets follow, so that the watch over targets, which does the same, never works against an operation. Of LUNs that can't
 * be served it fails only for `lun`: a disk whose content is lost hinders nothing that is about another one.
 */
export function followRecords<Plan extends { node: string }>(
  appliance: Appliance,
  name: string,
  lun?: (plan: Plan) => number,
): Step<Plan> {
  const follow = async ({ plan, signal }: StepContext<Plan>, wanted?: number) => {
    const entry = bootEntryOf(appliance.records, plan.node);
    if (!entry) return;
    const { control } = networkOf(appliance, entry.network).tgtd;
    const spec = await targetSpec(appliance, entry);
    await appliance.targets.ensureTarget(control, spec, signal).catch((error) => {
      const { luns } = toApplianceError(error).details;
      if (luns === undefined || (wanted !== undefined && luns.includes(wanted))) throw error;
    });
  };
  return {
    name,
    deadlineSeconds: 30,
    run: (context) => follow(context, lun?.(context.plan)),
    undo: (context) => follow(context),
  };
}
