import { incrementDisk } from "../drivers/images/image-exchange.ts";
import { childDepth } from "../images/chain-depth.ts";
import type { ImageRecord } from "../images/image.ts";
import { newId } from "../values/id.ts";
import type { Appliance } from "./appliance.ts";
import { cloneableImage } from "./cloneable-image.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota, countImage } from "./quota.ts";

export type ImportIncrementRequest = {
  project: string;
  name: string;
  /** On the appliance, inside one of pool.importDirectories; its manifest lies beside it. */
  path: string;
  /** The image that the increment was made from, by its name here. */
  onto: string;
};

type ImportIncrementPlan = { image: string; base: string; path: string };

/** Makes an image from another one and what changed since. EXISTS, NOT_FOUND, POOL_FULL; what is wrong with the file shows in the operation. */
export async function importIncrement(
  appliance: Appliance,
  { project, name, path, onto }: ImportIncrementRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  await checkPoolOpen(appliance);
  const base = cloneableImage(appliance, project, onto);
  appliance.images.checkNewName(project, name);
  checkQuota(appliance, project, { images: 1, bytes: base.sizeBytes });
  const image: ImageRecord = {
    id: newId("img"),
    name,
    project,
    origin: { kind: "increment", source: path, base: base.id, clean: false },
    sizeBytes: base.sizeBytes,
    phonesHome: base.phonesHome,
    ready: false,
    // between it and its base is the disk that the increment went into
    depth: childDepth({ depth: childDepth(base) }),
    createdAt: appliance.clock.now(),
    requestedBy,
  };
  return appliance.runner.begin<ImportIncrementPlan>("import-increment", {
    summary: `import image ${name}: what changed since ${base.name}`,
    project,
    requestedBy,
    plan: { image: image.id, base: base.id, path },
    holds: [image.id, incrementDisk(image.id)],
    uses: [base.id],
    changes: [{ collection: "images", key: image.id, value: image }],
  });
}

/** The one step: the content, which is removed again when it fails. */
export function importIncrementProcedure(appliance: Appliance): Procedure<ImportIncrementPlan> {
  const { exchange, images, store } = appliance;
  return {
    kind: "import-increment",
    steps: () => [
      {
        name: "apply-increment",
        deadlineSeconds: 6 * 3600,
        run: async ({ plan, progress, signal }) => {
          const onProgress = (done: number, total: number) => progress(done, total, "bytes");
          const { sizeBytes, sha256 } = await exchange.applyIncrement(plan, onProgress, signal);
          // it may be longer than its base
          const record = await countImage(appliance, images.find(plan.image) as ImageRecord, sizeBytes);
          const image: ImageRecord = { ...record, sha256, ready: true };
          return { output: { sizeBytes, sha256 }, changes: [{ collection: "images", key: plan.image, value: image }] };
        },
        undo: async ({ plan, signal }) => {
          await exchange.endIncrement(plan, signal);
          await store.remove("image", plan.image, signal);
        },
      },
    ],
    undone: (plan) => [{ collection: "images", key: plan.image, value: null }],
  };
}
