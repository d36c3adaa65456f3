import type { IoLimits } from "../values/io-limits.ts";
import type { SnapshotSchedule } from "./snapshot-schedule.ts";

/** How a node has a disk beside the one that it boots: as a further LUN of its target. */
export type DataLun = { lun: number; readOnly: boolean };

/** A writable copy-on-write clone of an image, or one that began blank; attached to at most one node. */
export type DiskRecord = {
  id: string;
  name: string;
  project: string;
  /** Id of the image it was cloned from; one that began blank has none. */
  image?: string;
  sizeBytes: number;
  /** Id of the node that it is attached to. */
  node?: string;
  /** Where that node finds it; absent for the disk that the node boots. */
  dataLun?: DataLun;
  /** When it was last taken from a node. */
  detachedAt?: number;
  /** What it does at most in a second; absent without limits. */
  limits?: IoLimits;
  /** When snapshots of it are taken by themselves. */
  schedule?: SnapshotSchedule;
  /** When it was deleted: out of sight, and gone for good once the grace is over. */
  deletedAt?: number;
  /** Whether its last user shut down in order: decides what a new boot must check. */
  clean: boolean;
  /** See `ChainDepth`. */
  depth?: number;
  createdAt: number;
  requestedBy: string;
};
