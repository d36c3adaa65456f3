import { childDepth } from "../images/chain-depth.ts";
import type { ImageRecord } from "../images/image.ts";
import { newId } from "../values/id.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota } from "./quota.ts";
import type { OperationRequest } from "./runner.ts";

export type SnapshotRequest = {
  project: string;
  disk: string;
  /** Name of the new image. */
  image: string;
  /** Whether a schedule asks for it, which then may remove it again. */
  scheduled?: boolean;
};

type SnapshotPlan = { disk: string; image: string };

/** Makes an image from what a disk holds now: crash-consistent while it is in use, clean when its OS shut down in order. POOL_FULL when the pool is closed. */
export async function snapshotDisk(
  appliance: Appliance,
  request: SnapshotRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  await checkPoolOpen(appliance);
  return appliance.runner.begin("snapshot", () => newSnapshot(appliance, request, requestedBy));
}

function newSnapshot(
  appliance: Appliance,
  request: SnapshotRequest,
  requestedBy: string,
): OperationRequest<SnapshotPlan> {
  const disk = appliance.disks.get(request.project, request.disk);
  appliance.images.checkNewName(request.project, request.image);
  checkQuota(appliance, request.project, { images: 1, bytes: disk.sizeBytes });
  const image: ImageRecord = {
    id: newId("img"),
    name: request.image,
    project: request.project,
    origin: {
      kind: "snapshot",
      disk: disk.id,
      clean: disk.clean && disk.node === undefined,
      ...(request.scheduled ? { scheduled: true } : {}),
    },
    sizeBytes: disk.sizeBytes,
    phonesHome: appliance.images.find(disk.image)?.phonesHome ?? false,
    ready: false,
    depth: childDepth(disk),
    createdAt: appliance.clock.now(),
    requestedBy,
  };
  return {
    summary: `snapshot disk ${disk.name} as image ${image.name}`,
    project: request.project,
    requestedBy,
    plan: { disk: disk.id, image: image.id },
    holds: [disk.id, image.id],
    changes: [{ collection: "images", key: image.id, value: image }],
  };
}

/** The one step of a snapshot: a clone under the name of an image, which is removed again when it fails. */
export function snapshotProcedure(appliance: Appliance): Procedure<SnapshotPlan> {
  return {
    kind: "snapshot",
    steps: () => [
      {
        name: "snapshot",
        deadlineSeconds: 120,
        run: async ({ plan, signal }) => {
          const { sizeBytes } = await appliance.store.snapshot(plan.disk, plan.image, signal);
          const image = appliance.images.find(plan.image) as ImageRecord;
          return { changes: [{ collection: "images", key: plan.image, value: { ...image, sizeBytes, ready: true } }] };
        },
        undo: ({ plan, signal }) => appliance.store.remove("image", plan.image, signal, plan.disk),
      },
    ],
    undone: (plan) => [{ collection: "images", key: plan.image, value: null }],
  };
}
