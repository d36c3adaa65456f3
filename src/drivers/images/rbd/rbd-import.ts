import { mkdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { ApplianceError, type ErrorDetails } from "../../../errors.ts";
import { isNoRoom } from "../../../net/preallocate.ts";
import type { ImportRequest, ImportResult } from "../image-store.ts";
import { importImage, unpackedBeside } from "../import-image.ts";
import { discard } from "./discard.ts";
import { CONTENT, META, NEW, NO_CACHE } from "./rbd-names.ts";
import type { RbdPool } from "./rbd-pool.ts";

/** What imports leave of the disk that the spool is on: journals and logs may live there too. */
const SPOOL_SPARED = 0.1;

export type RbdImportParts = {
  pool: RbdPool;
  importDirectories: string[];
  /** No image may be longer. */
  maxImageBytes: number;
  /** Where files are unpacked on their way into the pool. */
  spoolDirectory: string;
};

/** How files become images of a Ceph pool: unpacked in the spool, brought over by `rbd import`, and renamed once whole. */
export function createRbdImport(parts: RbdImportParts) {
  const { pool, importDirectories, maxImageBytes, spoolDirectory } = parts;
  const spoolFile = (image: string) => join(spoolDirectory, `${image}.raw`);

  const forget = async (image: string): Promise<void> => {
    const content = spoolFile(image);
    for (const path of [content, unpackedBeside(content)]) await rm(path, { force: true });
  };

  const importContent = async (
    request: ImportRequest,
    progress: (share: number, ofBytes: number) => void,
    signal: AbortSignal,
  ) => {
    const { image } = request;
    const spooled = spoolFile(image);
    const unfinished = NEW + image;
    await mkdir(spoolDirectory, { recursive: true, mode: 0o700 });
    await forget(image);
    return importImage({
      request,
      importDirectories,
      maxBytes: maxImageBytes,
      signal,
      temporary: spooled,
      progress: (done, total) => progress(done / total / 2, total),
      checkFree: async (bytes) => {
        const { bavail, bsize, blocks } = await statfs(spoolDirectory);
        checkFree(bavail * bsize - blocks * bsize * SPOOL_SPARED, bytes, `remove files below ${spoolDirectory}`);
        await checkPoolFree(pool, bytes, signal);
      },
      publish: async (file, { sizeBytes, sha256, paddedBytes }) => {
        if ((await pool.size(unfinished, signal)) !== undefined) await discard(pool, unfinished, signal);
        await pool.importFile(file, unfinished, (percent) => progress(0.5 + percent / 200, sizeBytes), signal);
        await pool.setMetadata(unfinished, ...NO_CACHE, signal);
        await pool.setMetadata(unfinished, META.sha256, sha256, signal);
        await pool.setMetadata(unfinished, META.padded, String(paddedBytes), signal);
        await pool.createSnapshot(unfinished, CONTENT, signal);
        await pool.rename(unfinished, image, signal);
      },
    });
  };

  /** What an import answered the first time. */
  const imported = async (image: string, sizeBytes: number, signal: AbortSignal): Promise<ImportResult> => {
    const sha256 = (await pool.metadata(image, META.sha256, signal)) ?? "";
    return { sizeBytes, sha256, paddedBytes: Number(await pool.metadata(image, META.padded, signal)) };
  };

  return {
    /** As ImageStore's. */
    async import(
      request: ImportRequest,
      progress: (doneBytes: number, totalBytes: number) => void,
      signal: AbortSignal,
    ): Promise<ImportResult> {
      const sizeBytes = await pool.size(request.image, signal);
      if (sizeBytes !== undefined) return imported(request.image, sizeBytes, signal);
      const tell = (share: number, of: number) => progress(Math.floor(share * of), of);
      const result = await importContent(request, tell, signal).catch((error) => {
        if (!isNoRoom(error)) throw error;
        throw noSpace({ remedy: `remove files below ${spoolDirectory}, or give it more room` }, error);
      });
      progress(result.sizeBytes, result.sizeBytes);
      return result;
    },
    /** Removes what an import of this image may have left in the spool. */
    forget,
  };
}

/** POOL_FULL where the cluster has no room for so many bytes that are brought in. */
export async function checkPoolFree(pool: Pick<RbdPool, "usage">, bytes: number, signal: AbortSignal): Promise<void> {
  checkFree((await pool.usage(signal)).freeBytes, bytes, "ingot disk rm, or give the cluster more room (ceph df)");
}

function checkFree(freeBytes: number, wantedBytes: number, remedy: string): void {
  if (freeBytes > wantedBytes) return;
  throw noSpace({ freeBytes: Math.max(0, Math.floor(freeBytes)), wantedBytes, remedy });
}

function noSpace(details: ErrorDetails, cause?: unknown): ApplianceError {
  const options = { details: { driver: "rbd", ...details }, cause };
  return new ApplianceError("POOL_FULL", "pool: no space left for an import", options);
}
