import { stat } from "node:fs/promises";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { abortedError, driverFailed } from "../failure.ts";
import { Turns } from "../turns.ts";
import type { ImageStore, PoolUsage, StoredKind, StoredSize } from "./image-store.ts";
import { importImage } from "./import-image.ts";
import { checkReflinks, PoolFiles } from "./pool-files.ts";
import { poolUsage } from "./pool-usage.ts";

/** Kept free for the metadata of clones: a pool that is full to the brim can't even copy on write. */
const RESERVE_BYTES = 32 * 1024 * 1024;

export type FileStoreOptions = {
  /** On XFS or btrfs. */
  directory: string;
  /** Import takes files below these alone. */
  importDirectories: string[];
};

/**
 * The image store in a directory of reflinked files: a clone shares its image's extents until either is written.
 * UNSUPPORTED when the directory's file system has no reflinks. One process per directory: unfinished files of
 * another would be removed.
 */
export async function openFileStore({ directory, importDirectories }: FileStoreOptions): Promise<ImageStore> {
  const files = new PoolFiles(directory);
  try {
    await checkReflinks(directory);
    await files.prepare();
  } catch (cause) {
    if (isApplianceError(cause)) throw cause;
    throw driverFailed("file", "open pool", `can't use ${directory}`, {
      cause,
      details: { field: "pool.directory", value: directory, remedy: "make the directory, or mount the pool there" },
    });
  }
  const turns = new Turns();

  /** One change at a time to an image or disk; the errors of the file system become ours. */
  const change = async <T>(
    action: string,
    kind: StoredKind,
    id: string,
    signal: AbortSignal,
    run: () => Promise<T>,
  ): Promise<T> => {
    files.path(kind, id);
    try {
      return await turns.take(`${kind} ${id}`, run, signal);
    } catch (error) {
      throw storeError(error, action, signal);
    }
  };

  const sizeOf = async (kind: StoredKind, id: string): Promise<StoredSize | undefined> => {
    try {
      const { size, blocks } = await stat(files.path(kind, id));
      return { sizeBytes: size, usedBytes: blocks * 512 };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw storeError(error, `stat ${kind}`);
    }
  };

  const reflink = async (kind: StoredKind, id: string): Promise<string> => {
    if (!(await sizeOf(kind, id))) {
      throw new ApplianceError("NOT_FOUND", `${kind}: ${id} is not in the pool`, {
        details: { field: kind, value: id },
      });
    }
    checkFree(await poolUsage(directory), 0);
    return files.reflink(files.path(kind, id));
  };

  const derive = async (from: [StoredKind, string], to: [StoredKind, string]) => {
    if (!(await sizeOf(...to))) await files.publish(await reflink(...from), ...to);
    return { sizeBytes: (await sizeOf(...to))!.sizeBytes };
  };

  return {
    clone: (image, disk, signal) =>
      change("clone", "disk", disk, signal, () => derive(["image", image], ["disk", disk])),
    snapshot: (disk, image, signal) =>
      change("snapshot", "image", image, signal, () => derive(["disk", disk], ["image", image])),
    revert: (disk, image, signal) =>
      change("revert", "disk", disk, signal, async () => {
        if (!(await sizeOf("disk", disk))) {
          throw new ApplianceError("NOT_FOUND", `disk: ${disk} is not in the pool`, {
            details: { field: "disk", value: disk },
          });
        }
        await files.replaceDisk(await reflink("image", image), disk);
      }),
    remove: (kind, id, signal) => change("remove", kind, id, signal, () => files.remove(kind, id)),
    import: (request, progress, signal) =>
      change("import", "image", request.image, signal, () =>
        importImage({
          files,
          importDirectories,
          request,
          progress,
          signal,
          checkFree: async (bytes) => checkFree(await poolUsage(directory), bytes),
        }),
      ),
    stat: (kind, id) => sizeOf(kind, id),
    list: async () => [...(await files.list("image")), ...(await files.list("disk"))],
    usage: () => poolUsage(directory),
    backing: async (disk) => ({ type: "file", path: files.path("disk", disk) }),
  };
}

function checkFree(usage: PoolUsage, bytes: number): void {
  if (usage.freeBytes >= bytes + RESERVE_BYTES) return;
  throw poolFull({ freeBytes: usage.freeBytes, wantedBytes: bytes });
}

function poolFull(details: Record<string, unknown>, cause?: unknown): ApplianceError {
  return new ApplianceError("POOL_FULL", "pool: no space left", {
    details: { driver: "file", ...details, remedy: "remove disks or images that nobody needs, or enlarge the pool" },
    cause,
  });
}

function storeError(error: unknown, action: string, signal?: AbortSignal): ApplianceError {
  if (signal?.aborted) return abortedError(signal, "file", action);
  if (isApplianceError(error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return poolFull({ action }, error);
  return driverFailed("file", action, message, { cause: error });
}
