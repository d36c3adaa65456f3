import type { StoredKind, StoredSize } from "./image-store.ts";

/**
 * The room of a pool: what takes it up, what is held back of it, and how it gets more. Every verb is idempotent, and
 * fails like the verbs of an image store. A pool that can't grow from here refuses with UNSUPPORTED, which says what to
 * do by hand.
 */
export interface PoolSpace {
  /** What takes up most, in this order; at most `limit` of it. */
  largest(limit: number, signal: AbortSignal): Promise<StoredThing[]>;
  /** Holds back what is missing of the ballast, as far as there is room. */
  keepBallast(signal: AbortSignal): Promise<void>;
  /** Gives the ballast to the disks of running nodes; answers how many bytes that were. */
  releaseBallast(signal: AbortSignal): Promise<number>;
  /**
   * Makes the pool's file this long, and gives it all of its blocks: holes too. Also fails with INVALID (it is longer
   * already), POOL_FULL (the disk below can't spare as much).
   */
  allocateFile(
    sizeBytes: number,
    progress: (doneBytes: number, totalBytes: number) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** Makes the file no longer than this again, unless the pool may use what lies behind. */
  trimFile(sizeBytes: number, signal: AbortSignal): Promise<void>;
  /** Lets the pool's file system have all of its file. */
  growFilesystem(signal: AbortSignal): Promise<void>;
}

/** `usedBytes` counts what is shared with others of the pool too: removing it frees less. */
export type StoredThing = StoredSize & { kind: StoredKind; id: string };
