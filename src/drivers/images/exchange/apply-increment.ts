import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { ApplianceError, isApplianceError } from "../../../errors.ts";
import { isNoRoom } from "../../../net/preallocate.ts";
import { writeFully } from "../../../values/write-fully.ts";
import { abortedError, driverFailed, throwIfAborted } from "../../failure.ts";
import { childOutput } from "../child-output.ts";
import { poolFull } from "../file-room.ts";
import { type ExportManifest, type Increment, incrementDisk, type Progress } from "../image-exchange.ts";
import type { ImageStore } from "../image-store.ts";
import { tooLarge } from "../import-child.ts";
import { openSource } from "../import-source.ts";
import { importDiff } from "../rbd/rbd-command.ts";
import type { RbdAccess } from "../rbd/rbd-pool.ts";
import { type Change, decodeDiff } from "./rbd-diff.ts";

const MANIFEST_BYTES = 64 * 1024;
/** So often is it looked whether there is room for more. */
const LOOK_EVERY_BYTES = 16 * 1024 * 1024;
const ZEROS = Buffer.alloc(1024 * 1024);

export type Applying = {
  images: ImageStore;
  importDirectories: string[];
  /** Where the pool is in Ceph. */
  access?: RbdAccess;
  /** No content may be longer. */
  maxImageBytes: number;
  /** POOL_FULL when so many more bytes would take what is kept free. */
  checkFree: (bytes: number, signal: AbortSignal) => Promise<void>;
};

/**
 * As ImageExchange's `applyIncrement`: a disk that nobody has is cloned from the base, changed, kept as the image, and
 * removed. What came out is read and compared with the manifest.
 */
export async function applyIncrement(
  { images, importDirectories, access, maxImageBytes, checkFree }: Applying,
  { image, base, path }: Increment,
  progress: Progress,
  signal: AbortSignal,
): Promise<{ sizeBytes: number; sha256: string }> {
  const file = await openSource(path, importDirectories);
  try {
    const manifest = await readManifest(`${path}.json`, importDirectories);
    if ((await hashOf(reading(file))) !== manifest.fileSha256)
      throw refused(path, "its checksum is not its manifest's");
    if (!(await images.stat("image", image, signal))) {
      if (manifest.sizeBytes > maxImageBytes) throw tooLarge(maxImageBytes);
      const unpacked = () =>
        manifest.compression === "zst"
          ? childOutput("zstd", ["-dqc", "-"], { driver: "zstd", action: "unpack", signal, input: reading(file) })
          : reading(file);
      await checkFree(await checkDiff(unpacked(), path, manifest.sizeBytes), signal);
      const disk = incrementDisk(image);
      await images.remove("disk", disk, signal);
      await images.clone(base, disk, signal);
      const look = lookForRoom(() => checkFree(0, signal));
      const diff = unpacked();
      const { type, path: backing } = await images.backing(disk);
      if (type === "rbd" && access) await changeVolume(access, backing, diff, look, signal);
      else await changeFile(backing, diff, look, (done) => progress(done, manifest.sizeBytes), signal);
      await images.snapshot(disk, image, signal);
    }
    await images.remove("disk", incrementDisk(image), signal);
    const sha256 = await hashOf(await images.read({ image }, signal));
    if (sha256 !== manifest.sha256) throw refused(path, "it belongs onto another image");
    progress(manifest.sizeBytes, manifest.sizeBytes);
    return { sizeBytes: manifest.sizeBytes, sha256 };
  } catch (error) {
    if (signal.aborted) throw abortedError(signal, "increment", "import");
    if (isApplianceError(error)) throw error;
    if (isNoRoom(error)) throw poolFull({ action: "import" }, error);
    throw driverFailed("increment", "import", (error as Error).message, { cause: error });
  } finally {
    await file.close();
  }
}

/** As ImageExchange's `endIncrement`. */
export function endIncrement({ images }: Applying, image: string, signal: AbortSignal): Promise<void> {
  return images.remove("disk", incrementDisk(image), signal);
}

function reading(file: FileHandle): Readable {
  // with a descriptor of its own: a stream that is broken off closes it, and the number may be another file's by then
  return createReadStream(`/proc/self/fd/${file.fd}`, { highWaterMark: 1024 * 1024 });
}

async function hashOf(content: Readable): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of content) hash.update(piece);
  return hash.digest("hex");
}

/**
 * INVALID for changes that are damaged, or reach beyond the content that they make: all of them, before the first is made.
 * Answers how many bytes they bring.
 */
async function checkDiff(diff: Readable, path: string, sizeBytes: number): Promise<number> {
  let broughtBytes = 0;
  for await (const change of decodeDiff(diff as AsyncIterable<Buffer>)) {
    const length = change.kind === "data" ? change.bytes.length : change.kind === "zero" ? change.length : 0;
    const isFine = change.kind === "size" ? change.bytes === sizeBytes : change.offset + length <= sizeBytes;
    if (!isFine) throw refused(path, "it reaches beyond the content that it makes");
    if (change.kind === "data") broughtBytes += length;
  }
  return broughtBytes;
}

/** Is told of bytes before they are written. */
type Look = (bytes: number) => Promise<void>;

/** Looks every so many bytes whether there is room for more. */
function lookForRoom(checkFree: () => Promise<void>): Look {
  let unseen = 0;
  return async (bytes) => {
    unseen += bytes;
    if (unseen < LOOK_EVERY_BYTES) return;
    unseen = 0;
    await checkFree();
  };
}

async function changeVolume(
  access: RbdAccess,
  volume: string,
  diff: Readable,
  look: Look,
  signal: AbortSignal,
): Promise<void> {
  async function* looking(): AsyncGenerator<Buffer> {
    for await (const piece of diff as AsyncIterable<Buffer>) {
      await look(piece.length);
      yield piece;
    }
  }
  const input = Readable.from(looking(), { objectMode: false });
  await importDiff(input, volume, { access, action: "import", signal });
}

async function changeFile(
  path: string,
  diff: Readable,
  look: Look,
  progress: (doneBytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const target = await open(path, "r+");
  const put = async (bytes: Buffer, position: number): Promise<void> => {
    throwIfAborted(signal, "increment", "import");
    await look(bytes.length);
    await writeFully(target, bytes, position);
  };
  try {
    for await (const change of decodeDiff(diff as AsyncIterable<Buffer>)) {
      await applyChange(target, change, put);
      if (change.kind !== "size") progress(change.offset);
    }
    await target.sync();
  } finally {
    await target.close();
  }
}

async function applyChange(
  target: FileHandle,
  change: Change,
  put: (bytes: Buffer, position: number) => Promise<void>,
): Promise<void> {
  if (change.kind === "size") return target.truncate(change.bytes);
  if (change.kind === "data") return put(change.bytes, change.offset);
  const { size } = await target.stat();
  const end = Math.min(change.offset + change.length, size);
  for (let at = change.offset; at < end; at += ZEROS.length) {
    await put(ZEROS.subarray(0, end - at), at);
  }
}

async function readManifest(path: string, importDirectories: string[]): Promise<ExportManifest> {
  const file = await openSource(path, importDirectories);
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MANIFEST_BYTES), 0, MANIFEST_BYTES, 0);
    const manifest = JSON.parse(buffer.toString("utf8", 0, bytesRead)) as ExportManifest;
    if (manifest.schema === 1 && manifest.format === "rbd-diff" && manifest.since) return manifest;
  } catch (cause) {
    if (isApplianceError(cause)) throw cause;
  } finally {
    await file.close();
  }
  throw refused(path, "it is no manifest of an increment");
}

function refused(path: string, why: string): ApplianceError {
  return new ApplianceError("INVALID", `path: ${path}: ${why}`, {
    details: {
      field: "path",
      value: path,
      remedy: "copy file and manifest again; its `since` names the image that it belongs onto",
    },
  });
}
