import { childDepth } from "../images/chain-depth.ts";
import type { ImageRecord } from "../images/image.ts";
import { newId } from "../values/id.ts";
import type { Appliance } from "./appliance.ts";
import { cloneableImage } from "./cloneable-image.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota } from "./quota.ts";

export type CopyImageRequest = {
  project: string;
  /** Its own, or one that is shared with it. */
  image: string;
  /** Name of the new image. */
  name: string;
};

type CopyPlan = { from: string; image: string };

/** Makes an image of a project's own with the content of another one, at once: both share it. NOT_FOUND, EXISTS, CONFLICT, POOL_FULL. */
export async function copyImage(
  appliance: Appliance,
  request: CopyImageRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  await checkPoolOpen(appliance);
  const { project, name } = request;
  const source = cloneableImage(appliance, project, request.image);
  appliance.images.checkNewName(project, name);
  const { sizeBytes, sha256, phonesHome, description, labels } = source;
  checkQuota(appliance, project, { images: 1, bytes: sizeBytes });
  const image: ImageRecord = {
    id: newId("img"),
    name,
    project,
    origin: { kind: "copy", image: source.id, clean: source.origin.kind === "import" || source.origin.clean },
    ...{ sizeBytes, phonesHome },
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(description === undefined ? {} : { description }),
    ...(labels === undefined ? {} : { labels }),
    ready: false,
    depth: childDepth(source),
    createdAt: appliance.clock.now(),
    requestedBy,
  };
  return appliance.runner.begin<CopyPlan>("copy-image", {
    summary: `copy image ${request.image} as ${name}`,
    project,
    requestedBy,
    plan: { from: source.id, image: image.id },
    holds: [image.id],
    uses: [source.id],
    changes: [{ collection: "images", key: image.id, value: image }],
  });
}

/** The one step of a copy: its content, which is removed again when it fails. */
export function copyImageProcedure(appliance: Appliance): Procedure<CopyPlan> {
  return {
    kind: "copy-image",
    steps: () => [
      {
        name: "copy",
        deadlineSeconds: 120,
        run: async ({ plan, signal }) => {
          await appliance.store.copy(plan.from, plan.image, signal);
          const image = appliance.images.find(plan.image) as ImageRecord;
          return { changes: [{ collection: "images", key: plan.image, value: { ...image, ready: true } }] };
        },
        undo: ({ plan, signal }) => appliance.store.remove("image", plan.image, signal),
      },
    ],
    undone: (plan) => [{ collection: "images", key: plan.image, value: null }],
  };
}
