import { normalize } from "node:path";
import { ApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import { publicUrl } from "../net/fetch-file.ts";
import type { Change } from "../store/records.ts";
import { newId } from "../values/id.ts";
import type { Compression, ImageFormat } from "../values/image-format.ts";
import type { Appliance } from "./appliance.ts";
import { originPath } from "./incoming.ts";
import type { OperationRecord, Procedure, Step } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota, countImage } from "./quota.ts";
import type { UploadRecord, UploadRequest } from "./uploads.ts";

export type ImportImageRequest = {
  project: string;
  name: string;
  /** Stated, never probed: a raw disk may begin with anything. */
  format: ImageFormat;
  compression?: Compression;
  /** Of the file as it is, or as it is sent, hex. */
  sha256?: string;
  phonesHome: boolean;
} & (
  | {
      /** On the appliance, inside one of pool.importDirectories. */
      path: string;
    }
  | {
      /** By http or https. */
      url: string;
    }
);

type ImportPlan = {
  image: string;
  /** Where the file is, or will be once it is fetched. */
  path: string;
  format: ImageFormat;
  compression?: Compression;
  sha256?: string;
  /** Where it is fetched from, with credentials. */
  url?: string;
  /** Whether the file is one that was brought here for this import, and goes with it. */
  isIncoming?: boolean;
  /** Length of the upload that it was. */
  uploadedBytes?: number;
};

/**
 * Makes an image from a file on the appliance, or from one that is fetched. EXISTS for a name in use, INVALID for a URL
 * that is none, POOL_FULL when the pool is closed; what is wrong with the file shows in the operation.
 */
export async function importImage(
  appliance: Appliance,
  request: ImportImageRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const { incoming, images } = appliance;
  const id = newId("img");
  const place =
    "url" in request ? { url: request.url, path: incoming.path(id), isIncoming: true } : { path: request.path };
  const source = "url" in request ? publicUrl(request.url) : request.path;
  if ("path" in request && normalize(request.path).startsWith(`${normalize(incoming.directory)}/`)) {
    throw new ApplianceError("FORBIDDEN", "path: that is where uploads of others wait", {
      details: { field: "path", value: request.path, remedy: "put the file into one of pool.importDirectories" },
    });
  }
  await checkPoolOpen(appliance);
  images.checkNewName(request.project, request.name);
  checkQuota(appliance, request.project, { images: 1 });
  return begin(appliance, { ...request, id, source }, place, requestedBy);
}

/**
 * Makes an image from an upload that is whole, which ends with this, before anything is waited for. EXISTS for a name in
 * use, QUOTA; whether the pool is open is the caller's to ask.
 */
export async function importUpload(
  appliance: Appliance,
  upload: UploadRecord & { sizeBytes: number },
  requestedBy: string,
): Promise<OperationRecord> {
  const { id, project, name, sizeBytes } = upload;
  appliance.images.checkNewName(project, name);
  checkQuota(appliance, project, { images: 1 });
  const place = { path: appliance.incoming.path(id), isIncoming: true, uploadedBytes: sizeBytes };
  const ends: Change = { collection: "uploads", key: id, value: null };
  return begin(appliance, { ...upload, source: "upload" }, place, requestedBy, [ends]);
}

/** The import that made the image of this name, or is about to, of just such an upload. */
export function findUploadImport(
  { images, runner }: Appliance,
  { project, name, sizeBytes, format, compression, sha256 }: UploadRequest,
): OperationRecord | undefined {
  const image = images.list(project).find((one) => one.name === name);
  if (!image) return undefined;
  return runner.list().find(({ kind, plan: recorded }) => {
    const plan = recorded as Partial<ImportPlan>;
    return (
      kind === "import" &&
      plan.image === image.id &&
      plan.uploadedBytes === sizeBytes &&
      plan.format === format &&
      plan.compression === compression &&
      plan.sha256 === sha256
    );
  });
}

type Beginning = Omit<ImportImageRequest, "path" | "url"> & { id: string; source: string };

function begin(
  appliance: Appliance,
  { id, project, name, source, format, compression = "none", sha256, phonesHome }: Beginning,
  place: Pick<ImportPlan, "path" | "url" | "isIncoming" | "uploadedBytes">,
  requestedBy: string,
  changes: Change[] = [],
): Promise<OperationRecord> {
  const image: ImageRecord = {
    id,
    name,
    project,
    origin: { kind: "import", source, format, compression },
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
    plan: { image: id, format, compression, ...(sha256 === undefined ? {} : { sha256 }), ...place },
    holds: [id],
    changes: [...changes, { collection: "images", key: id, value: image }],
  });
}

/** Fetches the file, where it has to be, and makes the content of it; what there is of both is removed again on failure. */
export function importProcedure(appliance: Appliance): Procedure<ImportPlan> {
  return {
    kind: "import",
    steps: ({ url }) => [...(url === undefined ? [] : [fetchFile(appliance, url)]), importContent(appliance)],
    undone: (plan) => [{ collection: "images", key: plan.image, value: null }],
  };
}

function fetchFile({ incoming, fetchFile, config }: Appliance, url: string): Step<ImportPlan> {
  return {
    name: "fetch-file",
    deadlineSeconds: 24 * 3600,
    run: async ({ plan, progress, signal }) => {
      await incoming.promise(plan.image, 0);
      const output = await fetchFile({
        url,
        path: plan.path,
        originPath: originPath(plan.path),
        checkSize: async (bytes) => {
          checkImageSize(config, "url", bytes);
          await incoming.grow(plan.image, bytes);
        },
        progress: (done, total) => progress(done, total, "bytes"),
        signal,
      });
      return { output };
    },
    undo: ({ plan }) => incoming.remove(plan.image),
  };
}

function importContent(appliance: Appliance): Step<ImportPlan> {
  const { store, images, incoming } = appliance;
  return {
    name: "import-content",
    deadlineSeconds: 6 * 3600,
    run: async ({ plan, progress, signal }) => {
      const { image, path, format, compression, sha256: stated } = plan;
      const request = {
        image,
        path,
        format,
        ...(compression ? { compression } : {}),
        ...(stated ? { sha256: stated } : {}),
      };
      const { sizeBytes, sha256 } = await store.import(
        request,
        (done, total) => progress(done, total, "bytes"),
        signal,
      );
      const record = await countImage(appliance, images.find(image) as ImageRecord, sizeBytes);
      // done twice, the image is there already, and nobody asks for its file
      if (plan.isIncoming) await incoming.remove(image);
      const ready: ImageRecord = { ...record, sha256, ready: true };
      return { output: { sizeBytes, sha256 }, changes: [{ collection: "images", key: image, value: ready }] };
    },
    undo: async ({ plan, signal }) => {
      await store.remove("image", plan.image, signal);
      if (plan.isIncoming) await incoming.remove(plan.image);
    },
  };
}

/** INVALID, in the name of this field, when a file that comes over the network is longer than an image may be. */
export function checkImageSize({ pool }: Appliance["config"], field: string, bytes: number): void {
  if (bytes <= pool.maxImageBytes) return;
  throw new ApplianceError(
    "INVALID",
    `${field}: it has more than the ${pool.maxImageBytes} bytes that an image may have`,
    {
      details: { field, value: bytes, remedy: "raise pool.maxImageBytes, if it may be so large" },
    },
  );
}
