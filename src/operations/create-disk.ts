import type { DiskRecord } from "../disks/disk.ts";
import { checkDiskSize } from "../disks/disk-size.ts";
import { newId } from "../values/id.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota } from "./quota.ts";

export type NewBlankDisk = { project: string; name: string; sizeBytes: number };

type CreateDiskPlan = { disk: string; sizeBytes: number };

/** Makes a blank disk, which holds zeros and takes no room until it is written. EXISTS, INVALID, POOL_FULL. */
export async function createDisk(
  appliance: Appliance,
  { project, name, sizeBytes }: NewBlankDisk,
  requestedBy: string,
): Promise<OperationRecord> {
  await checkPoolOpen(appliance);
  appliance.disks.checkNewName(project, name);
  checkDiskSize(sizeBytes);
  checkQuota(appliance, project, { disks: 1, bytes: sizeBytes });
  const disk: DiskRecord = {
    ...{ id: newId("disk"), name, project, sizeBytes, clean: true },
    createdAt: appliance.clock.now(),
    requestedBy,
  };
  return appliance.runner.begin<CreateDiskPlan>("create-disk", {
    summary: `create disk ${name}`,
    project,
    requestedBy,
    plan: { disk: disk.id, sizeBytes },
    holds: [disk.id],
    changes: [{ collection: "disks", key: disk.id, value: disk }],
  });
}

/** The one step of a blank disk's making: its content, which is removed again when that fails. */
export function createDiskProcedure(appliance: Appliance): Procedure<CreateDiskPlan> {
  return {
    kind: "create-disk",
    steps: () => [
      {
        name: "create-content",
        deadlineSeconds: 60,
        run: ({ plan, signal }) => appliance.store.create(plan.disk, plan.sizeBytes, signal),
        undo: ({ plan, signal }) => appliance.store.remove("disk", plan.disk, signal),
      },
    ],
    undone: (plan) => [{ collection: "disks", key: plan.disk, value: null }],
  };
}
