import type { ImageRecord } from "../images/image.ts";
import { newId } from "../values/id.ts";
import type { Compression, ImageFormat } from "../values/image-format.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota } from "./quota.ts";

export type ImportImageRequest = {
  project: string;
  name: string;
  /** On the appliance, inside one of pool.importDirectories. */
  path: string;
  /** Stated, never probed: a raw disk may begin with anything. */
  format: ImageFormat;
  compression?: Compression;
  /** Of the file as it is, hex. */
  sha256?: string;
  phonesHome: boolean;
};

type ImportPlan = { image: string; path: string; format: ImageFormat; compression?: Compression; sha256?: string };

/** Makes an image from a file. EXISTS for a name in use, POOL_FULL when the pool is closed; what is wrong with the file shows in the operation. */
export async function importImage(
  appliance: Appliance,
  request: ImportImageRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const { project, name, path, format, compression = "none", sha256, phonesHome } = request;
  await checkPoolOpen(appliance);
  appliance.images.checkNewName(project, name);
  checkQuota(appliance, project, { images: 1 });
  const image: ImageRecord = {
    id: newId("img"),
    name,
    project,
    origin: { kind: "import", source: path, format, compression },
    sizeBytes: 0,
    phonesHome,
    ready: false,
    createdAt: appliance.clock.now(),
    requestedBy,
  };
  return appliance.runner.begin<ImportPlan>("import", {
    summary: `import image ${name}`,
    project,
    requestedBy,
    plan: { image: image.id, path, format, compression, ...(sha256 === undefined ? {} : { sha256 }) },
    holds: [image.id],
    changes: [{ collection: "images", key: image.id, value: image }],
  });
}

/** The one step of an import: the content, which is removed again when it fails. */
export function importProcedure(appliance: Appliance): Procedure<ImportPlan> {
  return {
    kind: "import",
    steps: () => [
      {
        name: "import-content",
        deadlineSeconds: 6 * 3600,
        run: async ({ plan, progress, signal }) => {
          const { sizeBytes, sha256 } = await appliance.store.import(
            plan,
            (done, total) => progress(done, total, "bytes"),
            signal,
          );
          const image = appliance.images.find(plan.image) as ImageRecord;
          // how much there is in it is known now only
          checkQuota(appliance, image.project, { bytes: sizeBytes - image.sizeBytes });
          const ready: ImageRecord = { ...image, sizeBytes, sha256, ready: true };
          return { output: { sizeBytes, sha256 }, changes: [{ collection: "images", key: plan.image, value: ready }] };
        },
        undo: ({ plan, signal }) => appliance.store.remove("image", plan.image, signal),
      },
    ],
    undone: (plan) => [{ collection: "images", key: plan.image, value: null }],
  };
}
