import type { Readable } from "node:stream";
import type { Compression, ImageFormat } from "../../values/image-format.ts";
import type { IoLimits } from "../../values/io-limits.ts";

/**
 * Where images and disks live as bytes. Names are immutable ids: human names are metadata elsewhere.
 * Every verb is idempotent: already there, or already gone, is success. Every verb fails with
 * DRIVER_FAILED (details: driver, action), POOL_FULL, NOT_FOUND, TIMEOUT or CANCELLED (by its signal), and INVALID for
 * a value that is no id.
 */
export interface ImageStore {
  /**
   * Make image `image` from a file. Its format and compression are stated, never probed. Half-made content is never visible under the
   * final name. An image that is there already is only read for its checksum. Also fails with FORBIDDEN (not in an
   * import directory), INVALID (not of that format, compression or checksum, longer than allowed, or refers to other files).
   */
  import(
    request: ImportRequest,
    progress: (doneBytes: number, totalBytes: number) => void,
    signal: AbortSignal,
  ): Promise<ImportResult>;
  /**
   * The content of an image as a stream of bytes, which fails as every verb where it breaks off. Whoever destroys it ends
   * the reading; as long as nobody takes them, no more bytes are fetched.
   */
  read(request: ReadRequest, signal: AbortSignal): Promise<Readable>;
  /**
   * How an image's content is laid out as a qcow2 file, which `read` makes while it is read: as sparse as the store knows it
   * to be. The same as long as nothing but time passes; flattening may change it.
   */
  layout(image: string, signal: AbortSignal): Promise<Layout>;
  /** Make disk `disk`, a writable copy-on-write clone of `image`; longer, if `sizeBytes` says so, with zeros at its end. */
  clone(image: string, disk: string, signal: AbortSignal, sizeBytes?: number): Promise<{ sizeBytes: number }>;
  /** Make disk `disk`, all zeros. */
  create(disk: string, sizeBytes: number, signal: AbortSignal): Promise<void>;
  /** Make image `image` from what disk `disk` holds now (crash-consistent while it is in use). */
  snapshot(disk: string, image: string, signal: AbortSignal): Promise<{ sizeBytes: number }>;
  /** Make image `copy` with the content of `image`, at once: they share it. */
  copy(image: string, copy: string, signal: AbortSignal): Promise<{ sizeBytes: number }>;
  /**
   * Keep what `disk`, which nobody uses now, holds as image `image`, to revert to. Takes no room, so that it works in a
   * full pool: both are one until the disk is reverted.
   */
  setAside(disk: string, image: string, signal: AbortSignal): Promise<void>;
  /**
   * Put the content of `image` back into `disk`, which nobody uses now; longer, if `sizeBytes` says so. Its limits stay.
   * Works in a full pool too.
   */
  revert(disk: string, image: string, signal: AbortSignal, sizeBytes?: number): Promise<void>;
  /**
   * Give an image or a disk a copy of its own of all that it shares with what it came from, and let go of that. What it
   * holds stays as it is, and is read and (`served`) written meanwhile; breaking off in the middle loses nothing. Nothing
   * to do is success. UNSUPPORTED where a served disk can't be flattened.
   */
  flatten(
    request: FlattenRequest,
    progress: (doneBytes: number, totalBytes: number) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Give a disk these limits, and no others, at once, while it is served too. They are the disk's own: what is made of it
   * has none. UNSUPPORTED for any but none where single disks can't be limited.
   */
  limit(disk: string, limits: IoLimits, signal: AbortSignal): Promise<void>;
  /** Works in a full pool too. `markedDisk`: of which an image was to be a snapshot, and which an interrupted one left a mark on. */
  remove(kind: StoredKind, id: string, signal: AbortSignal, markedDisk?: string): Promise<void>;
  /** Undefined when it does not exist. */
  stat(kind: StoredKind, id: string, signal: AbortSignal): Promise<StoredSize | undefined>;
  list(signal: AbortSignal): Promise<{ kind: StoredKind; id: string }[]>;
  usage(signal: AbortSignal): Promise<PoolUsage>;
  /** What a target server opens to serve this disk. */
  backing(disk: string): Promise<Backing>;
}

/** What a pool holds: images, and disks cloned from them. */
export type StoredKind = "image" | "disk";
/** `served`: whether a node may use the disk meanwhile; without, it must not. */
export type FlattenRequest = { kind: StoredKind; id: string; served: boolean };
/**
 * The file at `path` is to become the image with this id. `sha256`, hex, is of the file as it lies there, packed or not;
 * it is checked first where it is given.
 */
export type ImportRequest = {
  image: string;
  path: string;
  format: ImageFormat;
  /** What it is packed with on top of its format; left out, nothing. */
  compression?: Compression;
  sha256?: string;
};
/** Bytes of something, both ends included. */
export type ByteRange = { first: number; last: number };
/** `sizeBytes`: of the qcow2 file. `digest`: as long as it is the same, so is every byte of the file. */
export type Layout = { sizeBytes: number; digest: string };
/**
 * `range`: these bytes of the content, as they are, or of its qcow2 file, where the digest of its `layout` is given: CONFLICT
 * when it has another one by now. All of the content otherwise, packed where that is asked for.
 */
export type ReadRequest = { image: string } & (
  | { range: ByteRange; layout?: string; compression?: undefined }
  | { range?: undefined; layout?: undefined; compression?: Extract<Compression, "zst"> }
);
/**
 * `sha256`, hex, is of the content as the node reads it. Sizes are whole sectors of 512 bytes: `paddedBytes` zeros were
 * added to an odd file, and count in both.
 */
export type ImportResult = { sizeBytes: number; sha256: string; paddedBytes: number };
/** `sizeBytes`: as the node sees it. `usedBytes`: allocated, shared extents counted once per file. */
export type StoredSize = { sizeBytes: number; usedBytes: number };
/** `freeBytes`: what disks can still take, by the pool and by the disk below it. The ballast is not free. */
export type PoolUsage = {
  totalBytes: number;
  freeBytes: number;
  filesystem: string;
  /** What is held back for times of need, how much of it a release would give, and whether it is all that should be. */
  ballast: { bytes: number; releasableBytes: number; isWhole: boolean };
  /** The file that the pool lives in, if it does; one with fewer blocks than its size is sparse. */
  file?: PoolFile;
};
/** The file that a pool lives in: how long it is, how much of it is blocks, and the room below it. */
export type PoolFile = {
  path: string;
  sizeBytes: number;
  allocatedBytes: number;
  /** Of the disk that the file is on. */
  diskFreeBytes: number;
  diskBytes: number;
};
/** What a target server opens to serve a disk. */
export type Backing = {
  type: "file" | "rbd";
  path: string;
  /** What the target server's driver of this type is told beside the path (tgt: `bsopts`). */
  options?: string;
  /** Whether nodes may give blocks back (SCSI's UNMAP): only where that is as durable as a write. */
  unmap?: boolean;
};
