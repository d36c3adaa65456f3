import { ApplianceError, isApplianceError } from "../../../errors.ts";
import { abortedError, driverFailed } from "../../failure.ts";
import { settled } from "../../settled.ts";
import { Turns } from "../../turns.ts";
import { compress } from "../compress.ts";
import type { ByteRange, ImageStore, StoredKind } from "../image-store.ts";
import { KeptMaps } from "../kept-maps.ts";
import { layoutOf, readQcow2 } from "../read-qcow2.ts";
import { discard, unlessRefused } from "./discard.ts";
import { checkOneName } from "./one-name.ts";
import { isRefused } from "./rbd-fault.ts";
import { flattenRbd } from "./rbd-flatten.ts";
import { createRbdImport } from "./rbd-import.ts";
import { limitsOf, setLimits } from "./rbd-limits.ts";
import { CONTENT, isWhole, META, NEW, NO_CACHE, OLD } from "./rbd-names.ts";
import type { RbdAccess, RbdPool } from "./rbd-pool.ts";

const PREFIXES: Record<StoredKind, string> = { image: "img-", disk: "disk-" };
const ID_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export type RbdStoreOptions = {
  pool: RbdPool;
  access: RbdAccess;
  /** Import takes files below these alone. */
  importDirectories: string[];
  /** No image may be longer. */
  maxImageBytes?: number;
  /** Where files are unpacked on their way into the pool. */
  spoolDirectory: string;
};

/**
 * The image store in a Ceph pool. An image is an RBD image with a snapshot `content` (once it has clones), a disk is a
 * clone of one; their names are the ids. librbd's verbs are several steps each, and may end after any. A clone is whole
 * once it has its parent's metadata, for librbd copies that last; a blank disk gets its own last. What is imported, and
 * what replaces something, has another name until it is whole.
 */
export function openRbdStore(options: RbdStoreOptions): ImageStore {
  const { pool, access, maxImageBytes = Number.MAX_SAFE_INTEGER } = options;
  const turns = new Turns();
  const maps = new KeptMaps();

  /** One change at a time to an image or disk. */
  const change = async <T>(
    kind: StoredKind,
    id: string,
    action: string,
    signal: AbortSignal,
    run: () => Promise<T>,
  ) => {
    checkId(kind, id);
    try {
      return await turns.take(`${kind} ${id}`, run, signal);
    } catch (error) {
      if (signal.aborted) throw abortedError(signal, "rbd", action);
      if (isApplianceError(error)) throw error;
      throw driverFailed("rbd", action, (error as Error).message, { cause: error });
    }
  };

  /** How long it is. */
  const checkThere = async (kind: StoredKind, id: string, signal: AbortSignal): Promise<number> => {
    if (kind === "disk") await finishReplacement(id, signal);
    const sizeBytes = await pool.size(id, signal);
    if (sizeBytes !== undefined) return sizeBytes;
    throw new ApplianceError("NOT_FOUND", `${kind}: ${id} is not in the pool`, { details: { field: kind, value: id } });
  };

  /** Size of an image that is whole; undefined for one that is half made, or not there. */
  const wholeSize = async (image: string, signal: AbortSignal): Promise<number | undefined> => {
    const found = await pool.inspect(image, [NO_CACHE[0]], signal);
    return found && isWhole(found) ? found.sizeBytes : undefined;
  };

  /**
   * A child of an image's content, for good or to take the place of `replaced`: then one that is there already was left by
   * something else. A snapshot of a disk gets its content's own snapshot when it is cloned first: it takes a while.
   * Answers the size of what was there.
   */
  const begin = async (
    image: string,
    child: string,
    signal: AbortSignal,
    replaced?: string,
  ): Promise<number | undefined> => {
    for (const mended = new Set<string>(); ; ) {
      try {
        await pool.clone({ image, snapshot: CONTENT }, child, signal);
        return undefined;
      } catch (error) {
        const what = (["none", "exists"] as const).find((one) => isRefused(error, one) && !mended.has(one));
        if (what === undefined) throw error;
        mended.add(what);
        if (what === "none") {
          await checkThere("image", image, signal);
          await unlessRefused("exists", pool.createSnapshot(image, CONTENT, signal));
          continue;
        }
        if (replaced !== undefined) await checkOneName(pool, replaced, child, signal);
        const existing = replaced === undefined ? await wholeSize(child, signal) : undefined;
        if (existing !== undefined) return existing;
        await discard(pool, child, signal);
      }
    }
  };

  /** A disk, or another image. Whether it is there already shows by the way: looking first would take its time each time. */
  const clone = async (image: string, child: string, signal: AbortSignal, wantedBytes = 0) => {
    try {
      const [imageBytes = 0, existing = imageBytes] = await settled([
        pool.size(image, signal),
        begin(image, child, signal),
      ]);
      if (wantedBytes > existing) await pool.grow(child, wantedBytes, signal);
      return { sizeBytes: Math.max(existing, wantedBytes) };
    } catch (error) {
      // its image may be gone since
      const sizeBytes = isApplianceError(error, "NOT_FOUND") ? await wholeSize(child, signal) : undefined;
      if (sizeBytes === undefined) throw error;
      return { sizeBytes };
    }
  };

  const create = async (disk: string, sizeBytes: number, signal: AbortSignal): Promise<void> => {
    if ((await wholeSize(disk, signal)) !== undefined) return;
    await discard(pool, disk, signal);
    await pool.create(disk, sizeBytes, signal);
    await pool.setMetadata(disk, ...NO_CACHE, signal);
  };

  const snapshot = async (disk: string, image: string, signal: AbortSignal) => {
    const existing = await wholeSize(image, signal);
    if (existing !== undefined) {
      await unlessRefused("none", pool.removeSnapshot(disk, image, signal));
      await setLimits(pool, image, {}, signal);
      return { sizeBytes: existing };
    }
    const attempt = () => pool.cloneNow(disk, image, signal);
    const made = attempt().catch(async (error) => {
      if (isRefused(error, "exists")) await discard(pool, image, signal);
      else if (isRefused(error, "none")) await checkThere("disk", disk, signal);
      else throw error;
      return attempt();
    });
    // metadata is copied with the rest; limits are the disk's own, and few disks have any: looked for meanwhile
    const [sizeBytes, limits] = await settled([made, limitsOf(pool, disk, signal)]);
    if (Object.keys(limits).length > 0) await setLimits(pool, image, {}, signal);
    return { sizeBytes };
  };

  /** Goes on where a replacement was interrupted between its two renames. */
  const finishReplacement = async (disk: string, signal: AbortSignal): Promise<void> => {
    if ((await pool.size(OLD + disk, signal)) === undefined) return;
    if ((await pool.size(disk, signal)) === undefined) await pool.rename(NEW + disk, disk, signal);
    await checkOneName(pool, disk, OLD + disk, signal);
    await discard(pool, OLD + disk, signal);
  };

  const contentOf = async (image: string, signal: AbortSignal) => {
    checkId("image", image);
    const sizeBytes = await checkThere("image", image, signal);
    return {
      sizeBytes,
      map: () => maps.of(image, sizeBytes, (found) => pool.extents(image, found, signal)),
      read: (ranges: Iterable<ByteRange>) => pool.read(image, ranges, signal),
    };
  };

  const imports = createRbdImport({ ...options, maxImageBytes });

  return {
    import: (request, progress, signal) =>
      change("image", request.image, "import", signal, () => imports.import(request, progress, signal)),
    clone: (image, disk, signal, sizeBytes) =>
      change("disk", disk, "clone", signal, () => clone(image, disk, signal, sizeBytes)),
    create: (disk, sizeBytes, signal) => change("disk", disk, "create", signal, () => create(disk, sizeBytes, signal)),
    snapshot: (disk, image, signal) => change("image", image, "snapshot", signal, () => snapshot(disk, image, signal)),
    copy: (image, copied, signal) => change("image", copied, "copy", signal, () => clone(image, copied, signal)),
    setAside: (disk, image, signal) =>
      change("image", image, "set aside", signal, async () => void (await snapshot(disk, image, signal))),
    revert: (disk, image, signal, sizeBytes) =>
      change("disk", disk, "revert", signal, async () => {
        await checkThere("disk", disk, signal);
        await checkThere("image", image, signal);
        const unfinished = NEW + disk;
        await begin(image, unfinished, signal, disk);
        const imageBytes = (await pool.size(unfinished, signal)) ?? 0;
        if (sizeBytes !== undefined && sizeBytes > imageBytes) await pool.grow(unfinished, sizeBytes, signal);
        // whose it is must be told by the new content too
        const description = await pool.metadata(disk, META.record, signal);
        if (description !== undefined) await pool.setMetadata(unfinished, META.record, description, signal);
        await setLimits(pool, unfinished, await limitsOf(pool, disk, signal), signal);
        await pool.rename(disk, OLD + disk, signal);
        await pool.rename(unfinished, disk, signal);
        await discard(pool, OLD + disk, signal);
      }),
    flatten: ({ kind, id }, progress, signal) =>
      change(kind, id, "flatten", signal, async () => {
        await checkThere(kind, id, signal);
        await flattenRbd(pool, id, progress, signal);
        maps.forget(id);
        await emptyTrash(pool, signal);
      }),
    limit: (disk, limits, signal) =>
      change("disk", disk, "limit", signal, async () => {
        await checkThere("disk", disk, signal);
        await setLimits(pool, disk, limits, signal);
      }),
    remove: (kind, id, signal, markedDisk) =>
      change(kind, id, "remove", signal, async () => {
        await imports.forget(id);
        maps.forget(id);
        // twice: a removal that was interrupted before may have left another behind this one, under its name
        for (const name of [NEW + id, OLD + id, id, id]) await discard(pool, name, signal);
        if (markedDisk !== undefined) await unlessRefused("none", pool.removeSnapshot(markedDisk, id, signal));
        await emptyTrash(pool, signal);
      }),
    read: async ({ image, range, layout, compression }, signal) => {
      const content = await contentOf(image, signal);
      if (layout !== undefined) return readQcow2(content, layout, range);
      const bytes = content.read([range ?? { first: 0, last: content.sizeBytes - 1 }]);
      return compression ? compress(bytes, signal) : bytes;
    },
    layout: async (image, signal) => layoutOf(await contentOf(image, signal)),
    stat: async (kind, id, signal) => {
      checkId(kind, id);
      const sizeBytes = await wholeSize(id, signal);
      return sizeBytes === undefined ? undefined : { sizeBytes, usedBytes: await pool.used(id, signal) };
    },
    list: async (signal) =>
      (await pool.list(signal)).flatMap((id) => {
        const kind = kindOf(id);
        return kind ? [{ kind, id }] : [];
      }),
    async usage(signal) {
      const { storedBytes, freeBytes } = await pool.usage(signal);
      const ballast = { bytes: 0, releasableBytes: 0, isWhole: true };
      return { totalBytes: storedBytes + freeBytes, freeBytes, filesystem: "ceph", ballast };
    },
    backing: async (disk) => ({
      type: "rbd",
      path: `${access.pool}/${disk}`,
      options: `conf=${access.conf};id=${access.user}`,
    }),
  };
}

/** Ids are names here; the kind is told by their beginning. INVALID for what is none. */
function checkId(kind: StoredKind, id: string): void {
  if (ID_PATTERN.test(id) && id.startsWith(PREFIXES[kind])) return;
  throw new ApplianceError("INVALID", `${kind}: this can't be an id`, {
    details: {
      field: kind,
      value: id.slice(0, 80),
      remedy: `use ${PREFIXES[kind]}, lower-case letters, digits and dashes`,
    },
  });
}

/** What an image in the pool is; undefined for others' things, and for unfinished ones. */
export function kindOf(name: string): StoredKind | undefined {
  return (["image", "disk"] as const).find((kind) => name.startsWith(PREFIXES[kind]));
}

/** Removes what nothing hangs on any more. Others may have put their own things there, and hold them: those stay. */
async function emptyTrash(pool: RbdPool, signal: AbortSignal): Promise<void> {
  for (const { id, name } of await pool.listTrash(signal)) {
    if (!/^(?:new\.|old\.)?(?:img|disk)-/.test(name)) continue;
    await pool.removeTrash(id, signal).catch((error) => {
      if (signal.aborted || isApplianceError(error, "UNAVAILABLE")) throw error;
    });
  }
}
