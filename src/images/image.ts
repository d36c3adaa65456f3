import type { Compression, ImageFormat } from "../values/image-format.ts";

/** Where an image was brought in from, and as what it was said to be; `source` is a path or a URL, without credentials. */
export type ImportOrigin = { kind: "import"; source: string; format: ImageFormat; compression?: Compression };

/** An immutable, bootable image. A golden image was imported; a snapshot was taken from a disk: one type, `origin` tells. */
export type ImageRecord = {
  id: string;
  name: string;
  project: string;
  origin:
    | ImportOrigin
    | { kind: "snapshot"; disk: string; clean: boolean; scheduled?: boolean }
    /** `image`: id of the one that was copied. */
    | { kind: "copy"; image: string; clean: boolean }
    /** A volume elsewhere in Ceph, `POOL/IMAGE[@SNAPSHOT]`. */
    | { kind: "rbd"; source: string; clean: boolean }
    /** `base`: id of the image that the increment in the file was put onto. */
    | { kind: "increment"; source: string; base: string; clean: boolean };
  sizeBytes: number;
  /** SHA-256 of the raw content, hex; known for imports. */
  sha256?: string;
  /** Whether its OS phones home (POST /boot/:mac/ready), so that provision waits for it. */
  phonesHome: boolean;
  /** False until its content is whole: only then can it be cloned. */
  ready: boolean;
  description?: string;
  labels?: Record<string, string>;
  /** Nothing new is cloned or copied from it; disks that were go on, and can be reverted to it. */
  retired?: boolean;
  /** Every project may clone it. */
  isPublic?: boolean;
  /** Names of the projects that may clone it, beside its own. */
  sharedWith?: string[];
  /** See `ChainDepth`. */
  depth?: number;
  createdAt: number;
  requestedBy: string;
};
