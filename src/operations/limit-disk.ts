import { changedLimits, type IoLimits, type IoLimitsChange } from "../values/io-limits.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure, StepContext } from "./operation.ts";

type LimitPlan = { disk: string; before: IoLimits; after: IoLimits };

/**
 * Limits what a disk does in a second; a node that has it goes on with it. NOT_FOUND, INVALID, BUSY; undone with UNSUPPORTED where the
 * store limits no single disk.
 */
export async function limitDisk(
  appliance: Appliance,
  { project, disk: name, change }: { project: string; disk: string; change: IoLimitsChange },
  requestedBy: string,
): Promise<OperationRecord> {
  return appliance.runner.begin<LimitPlan>("limit-disk", () => {
    const disk = appliance.disks.get(project, name);
    const before = disk.limits ?? {};
    return {
      summary: `limit disk ${disk.name}`,
      project: disk.project,
      requestedBy,
      plan: { disk: disk.id, before, after: changedLimits(before, change) },
      holds: [disk.id],
    };
  });
}

/** The one step of limiting. */
export function limitDiskProcedure(appliance: Appliance): Procedure<LimitPlan> {
  const set = async ({ plan: { disk: id }, signal }: StepContext<LimitPlan>, limits: IoLimits) => {
    await appliance.store.limit(id, limits, signal);
    const found = appliance.disks.find(id);
    if (!found) return {};
    const { limits: _, ...disk } = found;
    const value = { ...disk, ...(Object.keys(limits).length > 0 ? { limits } : {}) };
    return { changes: [{ collection: "disks", key: id, value }] };
  };
  return {
    kind: "limit-disk",
    steps: () => [
      {
        name: "set-limits",
        deadlineSeconds: 60,
        run: (context) => set(context, context.plan.after),
        undo: (context) => set(context, context.plan.before),
      },
    ],
  };
}
