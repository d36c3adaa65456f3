import type { ImageFormat } from "../../values/image-format.ts";

/**
 * How images leave the appliance, and how volumes of Ceph become images, beside ImageStore's `import` and `read`. Verbs are
 * idempotent, and fail as an image store's.
 */
export interface ImageExchange {
  /**
   * Write an image into a file, and beside it `FILE.json`, its manifest, which is there only once the file is whole. Neither
   * takes the place of anything. Also fails with FORBIDDEN (not in an export directory) and EXISTS.
   */
  exportFile(request: FileExport, progress: Progress, signal: AbortSignal): Promise<ExportManifest>;
  /** Take back what this export wrote, whole or not; what others put there stays. */
  removeExport(request: Pick<FileExport, "id" | "path">, signal: AbortSignal): Promise<void>;
  /**
   * Make image `image` from image `base` and an increment since that, which another appliance exported. Its manifest lies
   * beside it. INVALID where file or result are not what the manifest tells. Also fails as ImageStore's `import`.
   */
  applyIncrement(
    request: Increment,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<{ sizeBytes: number; sha256: string }>;
  /** Take away what an unfinished increment left beside its image. */
  endIncrement(request: Pick<Increment, "image">, signal: AbortSignal): Promise<void>;
  /**
   * Make image `image` a copy-on-write clone of a volume elsewhere in Ceph, `POOL/IMAGE[@SNAPSHOT]`, as it is now where no
   * snapshot is named. UNSUPPORTED for a pool of files; NOT_FOUND.
   */
  adoptRbd(request: RbdAdoption, signal: AbortSignal): Promise<{ sizeBytes: number }>;
  /** Take away what an unfinished adoption left at its source. */
  endAdoption(request: RbdAdoption, signal: AbortSignal): Promise<void>;
  /** Make `POOL/IMAGE` from an image, a copy that shares nothing with it. UNSUPPORTED for a pool of files; EXISTS. */
  publishRbd(request: RbdPublication, progress: Progress, signal: AbortSignal): Promise<void>;
  /** Take back what this publication made, whole or not. */
  unpublishRbd(request: Omit<RbdPublication, "image">, signal: AbortSignal): Promise<void>;
}

export type Progress = (done: number, total: number) => void;

/** What an image may be written as; `rbd-diff`: what changed since another one, as `rbd export-diff` tells it. */
export type ExportFormat = Extract<ImageFormat, "raw" | "qcow2"> | "rbd-diff";

/** `id`: of this export, for its unfinished files and its manifest. `about`: for whoever reads the manifest. */
export type FileExport = {
  id: string;
  image: string;
  path: string;
  format: ExportFormat;
  compression: "none" | "zst";
  about: { name: string; project: string };
  /** For an increment: the image that it begins from. */
  since?: { image: string; name: string };
};

/** What was written. Checksums are SHA-256, hex: of the file as it lies there, and of the content as a node reads it. */
export type ExportManifest = {
  schema: 1;
  export: string;
  image: string;
  name: string;
  project: string;
  file: string;
  format: ExportFormat;
  compression: "none" | "zst";
  fileBytes: number;
  fileSha256: string;
  sizeBytes: number;
  sha256: string;
  /** What an increment is to be put onto. */
  since?: { image: string; name: string; sha256: string };
};

/** The increment in the file `path` is to make `image` out of `base`. */
export type Increment = { image: string; base: string; path: string };

/** Id of the disk that the image of an increment is made in: its own alone, and gone in the end. */
export function incrementDisk(image: string): string {
  return `disk-${image}`;
}

export type RbdAdoption = { image: string; source: string };
/** `id`: of this publication. */
export type RbdPublication = { id: string; image: string; target: string };
