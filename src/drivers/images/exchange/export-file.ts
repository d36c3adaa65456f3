import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, link, open, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, normalize } from "node:path";
import { Readable } from "node:stream";
import { ApplianceError, isApplianceError } from "../../../errors.ts";
import { isNoRoom } from "../../../net/preallocate.ts";
import { syncPath } from "../../../net/sync-path.ts";
import { writeFully } from "../../../values/write-fully.ts";
import { blocksOfContent } from "../../../values/zeros.ts";
import { abortedError, driverFailed, throwIfAborted } from "../../failure.ts";
import { childOutput } from "../child-output.ts";
import { compress } from "../compress.ts";
import type { ExportManifest, FileExport, Progress } from "../image-exchange.ts";
import type { ImageStore } from "../image-store.ts";
import { encodeDiff } from "./rbd-diff.ts";

export type Exporting = {
  images: Pick<ImageStore, "read" | "stat">;
  exportDirectories: string[];
};

/** As ImageExchange's `exportFile`: unfinished under a name of this export's own, then linked to its name, then described. */
export async function exportFile(
  { images, exportDirectories }: Exporting,
  request: FileExport,
  progress: Progress,
  signal: AbortSignal,
): Promise<ExportManifest> {
  try {
    await checkDirectory(request.path, exportDirectories);
    const names = namesOf(request);
    const finished = await readManifest(names.manifest);
    if (finished?.export === request.id) {
      await settle(names, request.path);
      return finished;
    }
    // linked by an earlier attempt that came no further: what is written anew must not show under that name
    if (await isSame(names.unfinished, request.path)) await rm(request.path);
    await checkFree(request.path, names);
    const found = await images.stat("image", request.image, signal);
    const total = found?.sizeBytes ?? 0;
    const passes = createPasses(request, total, progress);
    const { sizeBytes, sha256, since } = await writeContent(images, request, total, passes, signal);
    const fileSha256 = await hashFile(names.unfinished, passes.next(), signal);
    const { id, image, format, compression, about } = request;
    const manifest: ExportManifest = {
      ...{ schema: 1 as const, export: id, image, ...about, file: basename(request.path), format, compression },
      ...{ fileBytes: (await stat(names.unfinished)).size, fileSha256, sizeBytes, sha256 },
      ...(since ? { since } : {}),
    };
    throwIfAborted(signal, "export", "export");
    await publish(names, request.path, manifest);
    return manifest;
  } catch (error) {
    throw exportError(error, request.path, signal);
  }
}

/** As ImageExchange's `removeExport`. */
export async function removeExport(
  { exportDirectories }: Pick<Exporting, "exportDirectories">,
  request: Pick<FileExport, "id" | "path">,
): Promise<void> {
  if (!isBelow(request.path, exportDirectories)) return;
  const names = namesOf(request);
  if ((await readManifest(names.manifest))?.export === request.id) {
    // without its manifest, the file is known as this export's by its other name alone
    await link(request.path, names.unfinished).catch((error) => {
      if (error.code !== "EEXIST" && error.code !== "ENOENT") throw error;
    });
    await rm(names.manifest);
  }
  if (await isSame(names.unfinished, request.path)) await rm(request.path);
  await removeUnfinished(names);
}

type Names = ReturnType<typeof namesOf>;

function namesOf({ path, id }: Pick<FileExport, "id" | "path">) {
  const own = join(dirname(path), `.${basename(path)}.${id}`);
  return {
    manifest: `${path}.json`,
    unfinished: `${own}.unfinished`,
    scratch: `${own}.scratch`,
    newManifest: `${own}.json`,
  };
}

/** How much of a pass is done, from 0 to 1. */
type Pass = (share: number) => void;
type Passes = { next(): Pass };

/** The passes over the content that an export is made of; each counts as much as the others. */
function createPasses({ format, compression, since }: FileExport, sizeBytes: number, progress: Progress): Passes {
  const ofQcow2 = format === "qcow2" && !since ? (compression === "zst" ? 2 : 1) : 0;
  // the content is read, and in the end the file for its checksum
  const count = 1 + ofQcow2 + 1;
  let begun = 0;
  return {
    next() {
      const before = begun++;
      return (share) => progress(Math.floor((before + share) * sizeBytes), count * sizeBytes);
    },
  };
}

async function writeContent(
  images: Exporting["images"],
  request: FileExport,
  total: number,
  passes: Passes,
  signal: AbortSignal,
): Promise<Pick<ExportManifest, "sizeBytes" | "sha256" | "since">> {
  const { image, format, compression } = request;
  const { unfinished, scratch } = namesOf(request);
  const reading = passes.next();
  const progress = (bytes: number) => reading(bytes / total);
  if (request.since) return writeIncrement(images, request, request.since, progress, signal);
  const content = await images.read({ image }, signal);
  const tap: Tap = { hash: createHash("sha256"), bytes: 0, progress };
  const result = () => ({ sizeBytes: tap.bytes, sha256: tap.hash.digest("hex") });
  try {
    if (format === "raw" && compression === "zst") {
      const plain = Readable.from(tapped(content, tap), { objectMode: false });
      await writeFile(unfinished, (target) => writePlainly(target, compress(plain, signal)));
      return result();
    }
    const raw = format === "raw" ? unfinished : scratch;
    await writeFile(raw, (target) => writeSparsely(target, tapped(content, tap)));
    if (format === "qcow2") {
      await convert(scratch, unfinished, passes.next(), signal);
      if (compression === "zst") {
        await rename(unfinished, scratch);
        const plain = Readable.from(readingOf(scratch, passes.next(), signal), { objectMode: false });
        await writeFile(unfinished, (target) => writePlainly(target, compress(plain, signal)));
      }
      await rm(scratch, { force: true });
    }
    return result();
  } finally {
    content.destroy();
  }
}

/** What changed since another image; both are read to their ends. */
async function writeIncrement(
  images: Exporting["images"],
  request: FileExport,
  since: { image: string; name: string },
  progress: (doneBytes: number) => void,
  signal: AbortSignal,
): Promise<Pick<ExportManifest, "sizeBytes" | "sha256" | "since">> {
  const { sizeBytes = 0 } = (await images.stat("image", request.image, signal)) ?? {};
  const before = await images.read({ image: since.image }, signal);
  const old: Tap = { hash: createHash("sha256"), bytes: 0, progress: () => {} };
  const now: Tap = { hash: createHash("sha256"), bytes: 0, progress };
  try {
    const after = await images.read({ image: request.image }, signal);
    try {
      const diff = encodeDiff(tapped(before, old), tapped(after, now), sizeBytes);
      const packed =
        request.compression === "zst" ? compress(Readable.from(diff, { objectMode: false }), signal) : diff;
      await writeFile(namesOf(request).unfinished, (target) => writePlainly(target, packed));
    } finally {
      after.destroy();
    }
  } finally {
    before.destroy();
  }
  return { sizeBytes, sha256: now.hash.digest("hex"), since: { ...since, sha256: old.hash.digest("hex") } };
}

/** A qcow2 file from a raw one. It is said to be raw, and not looked into: it may begin with anything. */
async function convert(from: string, to: string, pass: Pass, signal: AbortSignal): Promise<void> {
  const source = { driver: "raw", file: { driver: "file", filename: "/proc/self/fd/3", locking: "off" } };
  await writeFile(to, async (target) => {
    const raw = await open(from, "r");
    try {
      const confined = ["--no-new-privs", "--pdeathsig=KILL", "--bounding-set=-all", "--inh-caps=-all"];
      const command = ["qemu-img", "convert", "-p", "-O", "qcow2", `json:${JSON.stringify(source)}`, "/proc/self/fd/4"];
      const files = [raw.fd, target.fd];
      const drawn = childOutput("setpriv", [...confined, ...command], {
        ...{ driver: "qemu-img", action: "export" },
        ...{ signal, files },
      });
      for await (const text of drawn.setEncoding("utf8")) {
        for (const [, percent] of text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)) pass(Number(percent) / 100);
      }
    } finally {
      await raw.close();
    }
  });
}

/** What is seen of content on its way. */
type Tap = { hash: Hash; bytes: number; progress: (doneBytes: number) => void };

async function* tapped(content: Readable, tap: Tap): AsyncGenerator<Buffer> {
  for await (const piece of content as AsyncIterable<Buffer>) {
    tap.hash.update(piece);
    tap.bytes += piece.length;
    tap.progress(tap.bytes);
    yield piece;
  }
}

async function writeSparsely(target: FileHandle, content: AsyncIterable<Buffer>): Promise<void> {
  let position = 0;
  for await (const piece of content) {
    for (const [offset, block] of blocksOfContent(piece)) await writeFully(target, block, position + offset);
    position += piece.length;
  }
  await target.truncate(position);
}

async function writePlainly(target: FileHandle, content: AsyncIterable<Buffer>): Promise<void> {
  for await (const piece of content) await writeFully(target, piece);
}

/** Makes a file anew, and has it on disk in the end. */
async function writeFile(path: string, write: (target: FileHandle) => Promise<unknown>): Promise<void> {
  const target = await open(path, "w", 0o640);
  try {
    await write(target);
    await target.sync();
  } finally {
    await target.close();
  }
}

async function publish(names: Names, path: string, manifest: ExportManifest): Promise<void> {
  await link(names.unfinished, path).catch((error) => {
    throw error.code === "EEXIST" ? taken(path) : error;
  });
  await writeFile(names.newManifest, (target) => target.writeFile(`${JSON.stringify(manifest, null, 2)}\n`));
  await rename(names.newManifest, names.manifest);
  await settle(names, path);
}

/** The end of an export, once all of it has its names. */
async function settle(names: Names, path: string): Promise<void> {
  await syncPath(dirname(path));
  await removeUnfinished(names);
}

async function removeUnfinished(names: Names): Promise<void> {
  for (const name of [names.newManifest, names.scratch, names.unfinished]) await rm(name, { force: true });
}

async function hashFile(path: string, pass: Pass, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of readingOf(path, pass, signal)) hash.update(piece);
  return hash.digest("hex");
}

/** A file's bytes, to its end. */
async function* readingOf(path: string, pass: Pass, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { size } = await stat(path);
  let done = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024, signal }) as AsyncIterable<Buffer>) {
    done += piece.length;
    pass(done / size);
    yield piece;
  }
}

/** EXISTS where something of others has the name, or that of the manifest. */
async function checkFree(path: string, names: Names): Promise<void> {
  for (const name of [path, names.manifest]) if (await exists(name)) throw taken(name);
}

function taken(path: string): ApplianceError {
  return new ApplianceError("EXISTS", `${path} is there already`, {
    details: { field: "to", value: path, remedy: "export to another directory, or remove that file" },
  });
}

async function checkDirectory(path: string, exportDirectories: string[]): Promise<void> {
  const forbidden = (why: string) =>
    new ApplianceError("FORBIDDEN", `to: ${dirname(path)} ${why}`, {
      details: {
        field: "to",
        value: dirname(path),
        remedy: `export to ${exportDirectories.join(" or ")}, or add its directory to pool.exportDirectories`,
      },
    });
  if (!isBelow(path, exportDirectories)) throw forbidden("is in no export directory");
  const real = await realpath(dirname(path)).catch((cause) => {
    if (cause.code !== "ENOENT") throw cause;
    throw new ApplianceError("NOT_FOUND", `to: there is no directory ${dirname(path)}`, {
      details: { field: "to", value: dirname(path), remedy: "make it; the path is one on the appliance" },
      cause,
    });
  });
  const roots = await Promise.all(exportDirectories.map((one) => realpath(one).catch(() => one)));
  if (!isBelow(join(real, basename(path)), roots)) throw forbidden("leads out of the export directory by a link");
}

function isBelow(path: string, directories: string[]): boolean {
  const plain = normalize(path);
  return directories.some((one) => plain.startsWith(`${normalize(one).replace(/\/$/, "")}/`));
}

async function readManifest(path: string): Promise<ExportManifest | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function isSame(one: string, other: string): Promise<boolean> {
  try {
    const [left, right] = await Promise.all([stat(one), stat(other)]);
    return left.ino === right.ino && left.dev === right.dev;
  } catch {
    return false;
  }
}

function exportError(error: unknown, path: string, signal: AbortSignal): ApplianceError {
  if (signal.aborted) return abortedError(signal, "export", "export");
  if (isApplianceError(error)) return error;
  if (!isNoRoom(error)) return driverFailed("export", "export", (error as Error).message, { cause: error });
  return new ApplianceError("POOL_FULL", `export: no space left in ${dirname(path)}`, {
    details: { field: "to", value: dirname(path), remedy: "make room there, or export to another directory" },
    cause: error,
  });
}
