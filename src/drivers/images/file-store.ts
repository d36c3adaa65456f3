import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { isNoRoom } from "../../net/preallocate.ts";
import { abortedError, driverFailed } from "../failure.ts";
import { Turns } from "../turns.ts";
import { Ballast } from "./ballast.ts";
import { compress } from "./compress.ts";
import { layoutOfFile, readFileAsQcow2 } from "./file-qcow2.ts";
import { poolFull, refuseFull, roomForImports } from "./file-room.ts";
import { flattenFile } from "./flatten-file.ts";
import type { ImageStore, StoredKind, StoredSize } from "./image-store.ts";
import { hashImage, importImage } from "./import-image.ts";
import { KeptMaps } from "./kept-maps.ts";
import { mountAbove } from "./mounts.ts";
import { checkReflinks, PoolFiles } from "./pool-files.ts";
import { poolUsage } from "./pool-usage.ts";

/** A hole made in a file that is open with O_SYNC is on disk once made: XFS does so, btrfs does not. */
const SYNCS_HOLES = "xfs";

/** So much of an image is read at a time. */
const READ_BYTES = 512 * 1024;

/** Where a file store keeps its things, and what it may take in. */
export type FileStoreOptions = {
  /** On XFS or btrfs. */
  directory: string;
  /** Import takes files below these alone. */
  importDirectories: string[];
  /** No image may be longer. */
  maxImageBytes?: number;
  /** Percent of the pool that imports fill at most: the rest is for the disks of running nodes. */
  watermarks?: { critical: number };
};

/**
 * The image store in a directory of reflinked files: a clone shares its image's extents until either is written.
 * UNSUPPORTED when the directory's file system has no reflinks. One process per directory: unfinished files of
 * another would be removed.
 */
export async function openFileStore(options: FileStoreOptions): Promise<ImageStore> {
  const { directory, importDirectories, maxImageBytes = Number.MAX_SAFE_INTEGER } = options;
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
  const ballast = new Ballast(directory);
  const maps = new KeptMaps();

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

  const checkThere = async (kind: StoredKind, id: string): Promise<void> => {
    if (await sizeOf(kind, id)) return;
    throw new ApplianceError("NOT_FOUND", `${kind}: ${id} is not in the pool`, { details: { field: kind, value: id } });
  };

  const checkFree = roomForImports(options);

  const openImage = (id: string) =>
    open(files.path("image", id), "r").catch((error) => {
      if (error.code !== "ENOENT") throw error;
    });

  const derive = async (from: [StoredKind, string], to: [StoredKind, string], sizeBytes?: number) => {
    if (!(await sizeOf(...to))) {
      await checkThere(...from);
      refuseFull(await poolUsage(directory), 0);
      await files.publish(await files.reflink(files.path(...from), sizeBytes), ...to);
    }
    return { sizeBytes: (await sizeOf(...to))!.sizeBytes };
  };

  return {
    clone: (image, disk, signal, sizeBytes) =>
      change("clone", "disk", disk, signal, () => derive(["image", image], ["disk", disk], sizeBytes)),
    create: (disk, sizeBytes, signal) =>
      change("create", "disk", disk, signal, async () => {
        if (!(await sizeOf("disk", disk))) await files.publish(await files.blank(sizeBytes), "disk", disk);
      }),
    snapshot: (disk, image, signal) =>
      change("snapshot", "image", image, signal, () => derive(["disk", disk], ["image", image])),
    copy: (image, copy, signal) =>
      change("copy", "image", copy, signal, () => derive(["image", image], ["image", copy])),
    setAside: (disk, image, signal) =>
      change("set aside", "image", image, signal, async () => {
        if (await sizeOf("image", image)) return;
        await checkThere("disk", disk);
        await ballast.lend(() => files.setAside(disk, image));
      }),
    revert: (disk, image, signal, sizeBytes) =>
      change("revert", "disk", disk, signal, async () => {
        await checkThere("disk", disk);
        await checkThere("image", image);
        const content = await ballast.lend(() => files.reflink(files.path("image", image), sizeBytes));
        await files.replace(content, "disk", disk);
      }),
    flatten: (request, progress, signal) =>
      change("flatten", request.kind, request.id, signal, async () => {
        const { kind, id } = request;
        await checkThere(kind, id);
        await flattenFile({
          request,
          path: files.path(kind, id),
          filesystem: (await mountAbove(directory))?.filesystem,
          temporary: files.temporary(),
          replace: (temporary) => files.replace(temporary, kind, id),
          progress,
          signal,
          checkFree,
        });
        maps.forget(files.path(kind, id));
      }),
    limit: (disk, { iops, bytesPerSecond }, signal) =>
      change("limit", "disk", disk, signal, async () => {
        await checkThere("disk", disk);
        if (iops !== undefined || bytesPerSecond !== undefined) throw noLimits();
      }),
    remove: (kind, id, signal) =>
      change("remove", kind, id, signal, async () => {
        maps.forget(files.path(kind, id));
        await ballast.lend(() => files.remove(kind, id));
      }),
    import: (request, progress, signal) =>
      change("import", "image", request.image, signal, async () => {
        const existing = await openImage(request.image);
        if (existing) return hashImage(existing, { progress, signal }).finally(() => existing.close());
        return importImage({
          temporary: files.temporary(),
          publish: (temporary) => files.publish(temporary, "image", request.image),
          importDirectories,
          maxBytes: maxImageBytes,
          request,
          progress,
          signal,
          checkFree,
        });
      }),
    read: async ({ image, range, layout, compression }, signal) => {
      await checkThere("image", image);
      if (layout !== undefined) {
        return readFileAsQcow2(files.path("image", image), maps, layout, range, signal).catch((error) => {
          throw storeError(error, "read", signal);
        });
      }
      const bytes = range ? { start: range.first, end: range.last } : {};
      const content = createReadStream(files.path("image", image), { ...bytes, highWaterMark: READ_BYTES, signal });
      return compression ? compress(content, signal) : content;
    },
    layout: async (image) => {
      await checkThere("image", image);
      return layoutOfFile(files.path("image", image), maps).catch((error) => {
        throw storeError(error, "lay out");
      });
    },
    stat: (kind, id) => sizeOf(kind, id),
    list: async () => [...(await files.list("image")), ...(await files.list("disk"))],
    usage: () =>
      poolUsage(directory).catch((error) => {
        throw storeError(error, "look at pool");
      }),
    backing: async (disk) => {
      const { filesystem } = (await mountAbove(directory)) ?? {};
      return { type: "file", path: files.path("disk", disk), unmap: filesystem === SYNCS_HOLES };
    },
  };
}

function storeError(error: unknown, action: string, signal?: AbortSignal): ApplianceError {
  if (signal?.aborted) return abortedError(signal, "file", action);
  if (isApplianceError(error)) return error;
  if (isNoRoom(error)) return poolFull({ action }, error);
  return driverFailed("file", action, (error as Error).message, { cause: error });
}

function noLimits(): ApplianceError {
  return new ApplianceError("UNSUPPORTED", "a pool of files can't limit a single disk", {
    details: {
      driver: "file",
      remedy:
        "limit the tgtd of the project's own network: systemctl set-property ingot-tgtd@N.service CPUQuota=50% 'IOReadIOPSMax=/dev/sdX 2000'",
    },
  });
}
