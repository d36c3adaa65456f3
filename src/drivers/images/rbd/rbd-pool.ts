import type { Readable } from "node:stream";
import type { ByteRange } from "../image-store.ts";

/**
 * One Ceph pool as librbd sees it: images by name, each verb once and nothing around it. Verbs fail with an `RbdFault`
 * where Ceph refuses, and with UNAVAILABLE, TIMEOUT, CANCELLED or DRIVER_FAILED (`details.ceph`) where it can't be asked.
 */
export interface RbdPool {
  /** Names of all images, whoever made them. */
  list(signal: AbortSignal): Promise<string[]>;
  /** Bytes of an image; undefined where there is none. */
  size(image: string, signal: AbortSignal): Promise<number | undefined>;
  /** What an image is called inside, whatever its name. */
  id(image: string, signal: AbortSignal): Promise<string>;
  /** Bytes that are allocated to an image itself: what it shares with its parent is not counted. */
  used(image: string, signal: AbortSignal): Promise<number>;
  /** Size and allocated bytes of all images. */
  usedByAll(signal: AbortSignal): Promise<{ image: string; sizeBytes: number; usedBytes: number }[]>;
  /** A writable child of a snapshot (clone format 2: the snapshot needs no protection). */
  clone(parent: { image: string; snapshot: string }, child: string, signal: AbortSignal): Promise<void>;
  /**
   * A clone of an image as it is now, by a snapshot of the clone's name, which goes when this ends; bytes of it. Done
   * again after an interruption it takes up the snapshot that there is.
   */
  cloneNow(image: string, child: string, signal: AbortSignal): Promise<number>;
  /** An image of zeros. */
  create(image: string, sizeBytes: number, signal: AbortSignal): Promise<void>;
  /** Makes an image longer. */
  grow(image: string, sizeBytes: number, signal: AbortSignal): Promise<void>;
  createSnapshot(image: string, snapshot: string, signal: AbortSignal): Promise<void>;
  /** Names of an image's snapshots, but for those in its own trash. */
  listSnapshots(image: string, signal: AbortSignal): Promise<string[]>;
  /** One with children goes to the image's own trash, and ends with the last of them. */
  removeSnapshot(image: string, snapshot: string, signal: AbortSignal): Promise<void>;
  /** Whether an image reads through to another. */
  hasParent(image: string, signal: AbortSignal): Promise<boolean>;
  /** Calls `found` with each object that an image has something in, its own and its ancestors', as bytes of the image. */
  extents(image: string, found: (offset: number, length: number) => void, signal: AbortSignal): Promise<void>;
  /** Copies into an image, its snapshots included, what it has of its parent, and cuts it off; while it is in use too. */
  flatten(image: string, progress: (percent: number) => void, signal: AbortSignal): Promise<void>;
  rename(from: string, to: string, signal: AbortSignal): Promise<void>;
  /** Shuts out whoever holds an image for writing: what is still under way of it never arrives (blocklist). */
  breakLock(image: string, signal: AbortSignal): Promise<void>;
  remove(image: string, signal: AbortSignal): Promise<void>;
  /** Takes an image out of the list: for one whose snapshots have children. */
  moveToTrash(image: string, signal: AbortSignal): Promise<void>;
  /** What is in the trash. */
  listTrash(signal: AbortSignal): Promise<{ id: string; name: string }[]>;
  removeTrash(id: string, signal: AbortSignal): Promise<void>;
  setMetadata(image: string, key: string, value: string, signal: AbortSignal): Promise<void>;
  removeMetadata(image: string, key: string, signal: AbortSignal): Promise<void>;
  /** Undefined where the image has no such key. */
  metadata(image: string, key: string, signal: AbortSignal): Promise<string | undefined>;
  /** What is told of an image in one go, with its metadata under these keys; undefined where there is none of that name. `isHeld`: by another client, for writing. */
  inspect(image: string, keys: readonly string[], signal: AbortSignal): Promise<InspectedImage | undefined>;
  /**
   * Takes the lock of an object for some seconds, or prolongs it; the object is made where there is none. Answers who else
   * holds it, undefined where it is the holder's own now. One and the same holder may come by another connection.
   */
  lock(object: string, holder: string, seconds: number, signal: AbortSignal): Promise<string | undefined>;
  unlock(object: string, holder: string, signal: AbortSignal): Promise<void>;
  lockHolder(object: string, signal: AbortSignal): Promise<string | undefined>;
  /** A small object's text; empty where there is none. */
  readObject(object: string, signal: AbortSignal): Promise<string>;
  writeObject(object: string, text: string, signal: AbortSignal): Promise<void>;
  /** A new image with the content of a file, holes left out. */
  importFile(file: string, image: string, progress: (percent: number) => void, signal: AbortSignal): Promise<void>;
  /** The bytes of these ranges of an image, in ascending order, one after the other. */
  read(image: string, ranges: Iterable<ByteRange>, signal: AbortSignal): Readable;
  /** Bytes that the pool holds and can still take, copies not counted. */
  usage(signal: AbortSignal): Promise<{ storedBytes: number; freeBytes: number }>;
}

/** `snapshots`: names, but for those in the image's own trash. `metadata`: of the keys that it has. */
export type InspectedImage = {
  sizeBytes: number;
  snapshots: string[];
  isHeld: boolean;
  metadata: Readonly<Record<string, string>>;
};

/** Which pool, and as whom. */
export type RbdAccess = {
  /** Ceph's configuration file, which names monitors and keyring. */
  conf: string;
  /** The cephx user, without `client.` */
  user: string;
  pool: string;
};
