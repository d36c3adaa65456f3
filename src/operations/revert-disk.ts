import type { BootEntry } from "../boot/boot-entry.ts";
import type { DiskRecord } from "../disks/disk.ts";
import { ApplianceError } from "../errors.ts";
import { childDepth } from "../images/chain-depth.ts";
import { newId } from "../values/id.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf, networkOf, targetSpec } from "./attachment.ts";
import { wholeImage } from "./cloneable-image.ts";
import { seeUnserved } from "./former-targets.ts";
import type { OperationRecord, Procedure, StepContext } from "./operation.ts";
import { powerSeconds, requireOff, type Vouched } from "./power-steps.ts";
import { checkQuota } from "./quota.ts";
import { REMOVAL_SECONDS } from "./remove-content.ts";
import type { OperationRequest } from "./runner.ts";

export type RevertRequest = {
  project: string;
  disk: string;
  /** Name of the image whose content the disk gets; the one that it was cloned from by default. */
  image?: string;
};

type RevertPlan = Vouched & {
  disk: string;
  image: string;
  /** What the disk is long then: no shorter than before, nor than the image. */
  sizeBytes: number;
  /** What it was long before. */
  formerBytes: number;
  /** Keeps the former content until the end, for undo. */
  rescue: string;
  /** Node that has the disk; it must be off. */
  node?: string;
};

/**
 * Puts an image's content back into a disk whose node is off; at a node without a BMC an operator says so. CONFLICT
 * when the node is on or the image is not complete.
 */
export async function revertDisk(
  appliance: Appliance,
  request: RevertRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  return appliance.runner.begin("revert", () => newRevert(appliance, request, requestedBy));
}

function newRevert(appliance: Appliance, request: RevertRequest, requestedBy: string): OperationRequest<RevertPlan> {
  const disk = appliance.disks.get(request.project, request.disk);
  appliance.runner.refuseHeld(disk.id);
  // the one it was cloned from by its id and owner: that may share it no longer
  const origin = appliance.images.find(disk.image);
  const image =
    request.image === undefined && origin
      ? wholeImage(appliance, origin.project, origin.id)
      : wholeImage(appliance, request.project, request.image ?? imageOf(disk));
  const sizeBytes = Math.max(disk.sizeBytes, image.sizeBytes);
  const rescue = newId("img");
  checkQuota(appliance, disk.project, { bytes: sizeBytes - disk.sizeBytes });
  return {
    summary: `revert disk ${disk.name} to image ${image.name}`,
    project: request.project,
    requestedBy,
    plan: {
      disk: disk.id,
      image: image.id,
      sizeBytes,
      formerBytes: disk.sizeBytes,
      rescue,
      ...(disk.node ? { node: disk.node } : {}),
    },
    holds: [disk.id, rescue, ...(disk.node ? [disk.node] : [])],
    uses: [image.id],
    changes: [{ collection: "disks", key: disk.id, value: { ...disk, sizeBytes } }],
  };
}

function imageOf(disk: DiskRecord): string {
  if (disk.image !== undefined) return disk.image;
  throw new ApplianceError("INVALID", `disk ${disk.name} began blank`, {
    details: { field: "image", remedy: "name the image whose content it shall get" },
  });
}

/** The steps of a revert, around a node that is seen off: its target goes before the change and comes back after it. */
export function revertProcedure(appliance: Appliance): Procedure<RevertPlan> {
  const entryOf = (plan: RevertPlan): BootEntry | undefined =>
    plan.node ? bootEntryOf(appliance.records, plan.node) : undefined;
  const controlOf = (entry: BootEntry) => networkOf(appliance, entry.network).tgtd.control;

  // the target holds the old content open: it goes before the change and comes back after it
  const withdraw = async ({ plan, signal }: StepContext<RevertPlan>) => {
    const entry = entryOf(plan);
    if (entry) await appliance.targets.removeTarget(controlOf(entry), entry.iqn, signal);
  };
  const restore = async ({ plan, signal }: StepContext<RevertPlan>) => {
    const entry = entryOf(plan);
    if (entry) await appliance.targets.ensureTarget(controlOf(entry), await targetSpec(appliance, entry), signal);
  };

  return {
    kind: "revert",
    steps: () => [
      {
        name: "see-node-off",
        deadlineSeconds: ({ node }) =>
          node ? powerSeconds(appliance, appliance.nodes.get(node)) : appliance.config.operations.bmcSeconds,
        run: async ({ plan, signal }) => {
          if (!plan.node) return;
          const node = appliance.nodes.get(plan.node);
          const remedy = `ingot node power ${node.name} soft-off, then revert again`;
          await requireOff(appliance, node, plan, { disk: plan.disk, remedy }, signal);
        },
      },
      seeUnserved(appliance),
      { name: "withdraw-target", deadlineSeconds: 30, run: withdraw, undo: restore },
      {
        name: "save-content",
        deadlineSeconds: 120,
        run: ({ plan, signal }) => appliance.store.setAside(plan.disk, plan.rescue, signal),
        undo: ({ plan, signal }) => appliance.store.remove("image", plan.rescue, signal, plan.disk),
      },
      {
        name: "revert",
        deadlineSeconds: 120,
        run: ({ plan, signal }) => appliance.store.revert(plan.disk, plan.image, signal, plan.sizeBytes),
        undo: ({ plan, signal }) => appliance.store.revert(plan.disk, plan.rescue, signal),
      },
      { name: "restore-target", deadlineSeconds: 30, run: restore, undo: withdraw },
      {
        name: "drop-saved-content",
        deadlineSeconds: REMOVAL_SECONDS,
        pointOfNoReturn: true,
        run: async ({ plan, signal }) => {
          await appliance.store.remove("image", plan.rescue, signal);
          const disk = appliance.disks.find(plan.disk);
          const image = appliance.images.find(plan.image);
          const clean = image?.origin.kind === "import" || image?.origin.clean === true;
          const reverted = { ...disk, clean, depth: childDepth(image) };
          return disk ? { changes: [{ collection: "disks", key: disk.id, value: reverted }] } : {};
        },
      },
    ],
    undone: ({ disk: id, formerBytes }) => {
      const disk = appliance.disks.find(id);
      return disk ? [{ collection: "disks", key: id, value: { ...disk, sizeBytes: formerBytes } }] : [];
    },
  };
}
