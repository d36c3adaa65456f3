import { type FileHandle, open, rm } from "node:fs/promises";
import { ApplianceError } from "../../errors.ts";
import { type FileRange, sharedExtents, unshare } from "../../net/file-extents.ts";
import { throwIfAborted } from "../failure.ts";
import type { FlattenRequest } from "./image-store.ts";
import { copyInChild } from "./import-child.ts";

/** A node's writes wait for one such piece at most. */
const PIECE_BYTES = 8 * 1024 * 1024;

export type Flattening = {
  request: FlattenRequest;
  path: string;
  filesystem: string | undefined;
  /** Where a copy is made: a file that is not there yet. Gone in the end. */
  temporary: string;
  /** Puts a finished copy in the place of the file. */
  replace: (temporary: string) => Promise<void>;
  progress: (doneBytes: number, totalBytes: number) => void;
  signal: AbortSignal;
  /** POOL_FULL when there is no room for so many bytes more. */
  checkFree: (bytes: number) => Promise<void>;
};

/** Gives a file blocks of its own for all that it shares with others. Fails as ImageStore's `flatten`. */
export async function flattenFile(one: Flattening): Promise<void> {
  // XFS wants to write to it for the one, and syncs by it for the other
  const file = await open(one.path, "r+");
  try {
    const shared = await sharedExtents(file);
    if (shared.length === 0) return;
    if (one.filesystem === "xfs") await unshareInPlace(file, shared, one);
    else await copyBeside(file, one);
  } finally {
    await file.close();
  }
}

/** The kernel shuts out writers piece by piece, so that a node may go on with its disk. */
async function unshareInPlace(file: FileHandle, shared: FileRange[], one: Flattening): Promise<void> {
  const total = shared.reduce((sum, { length }) => sum + length, 0);
  await one.checkFree(total);
  let done = 0;
  for (const { offset, length } of shared) {
    for (let at = 0; at < length; at += PIECE_BYTES) {
      throwIfAborted(one.signal, "file", "flatten");
      const piece = { offset: offset + at, length: Math.min(PIECE_BYTES, length - at) };
      await unshare(file, piece);
      // bounds what waits to be written, and what a node's own next sync waits for
      await file.datasync();
      done += piece.length;
      one.progress(done, total);
    }
  }
  await file.sync();
}

/** Where files can't be unshared in place (btrfs): a full copy, which nobody may write to meanwhile. */
async function copyBeside(file: FileHandle, one: Flattening): Promise<void> {
  const { request, temporary, progress, signal } = one;
  if (request.served) {
    throw new ApplianceError(
      "UNSUPPORTED",
      `disk: on ${one.filesystem} a disk can't be flattened while a node has it`,
      {
        details: { field: "disk", value: request.id, remedy: "deprovision its node, keeping the disk, or use XFS" },
      },
    );
  }
  const { size, blocks } = await file.stat();
  await one.checkFree(blocks * 512);
  try {
    const copy = await open(temporary, "wx+", 0o600);
    try {
      await copy.truncate(size);
      await copyInChild({ source: file.fd, target: copy.fd }, (done) => progress(done, size), signal);
      await copy.sync();
    } finally {
      await copy.close();
    }
    throwIfAborted(signal, "file", "flatten");
    await one.replace(temporary);
  } finally {
    await rm(temporary, { force: true });
  }
}
