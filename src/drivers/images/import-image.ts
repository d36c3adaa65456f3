import type { Stats } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { ApplianceError } from "../../errors.ts";
import type { Compression } from "../../values/image-format.ts";
import { throwIfAborted } from "../failure.ts";
import { contentSizeBytes } from "./formats/content-size.ts";
import { checkPacked } from "./formats/packed.ts";
import { refusedImage } from "./formats/refused-image.ts";
import type { ImportRequest, ImportResult } from "./image-store.ts";
import { convertInChild, copyInChild, hashInChild, tooLarge, unpackInChild } from "./import-child.ts";
import { openSource } from "./import-source.ts";

const SECTOR_BYTES = 512;
/** So often is it looked whether there is room for more. */
const LOOK_EVERY_BYTES = 16 * 1024 * 1024;
/** Headers and tables of an image make it longer than its content by this much at most. */
const CONTAINER_SHARE = 1.1;

export type Import = {
  /** Where the content is made: a file that is not there yet, in a folder that keeps others out. Gone in the end. */
  temporary: string;
  /** Takes over the content once it is whole. */
  publish: (temporary: string, result: ImportResult) => Promise<unknown>;
  importDirectories: string[];
  /** No content may be longer. */
  maxBytes: number;
  request: ImportRequest;
  progress: (doneBytes: number, totalBytes: number) => void;
  signal: AbortSignal;
  /** POOL_FULL when so many more bytes would take what is kept free. */
  checkFree: (bytes: number) => Promise<void>;
};

/** Where an image that has to be unpacked before it can be converted lies meanwhile, beside the content. */
export function unpackedBeside(temporary: string): string {
  return `${temporary}-unpacked`;
}

/** Makes the content of an image from a file, and hands it on. Fails as ImageStore's `import`. */
export async function importImage(one: Import): Promise<ImportResult> {
  const { temporary, request } = one;
  const source = await openSource(request.path, one.importDirectories);
  const file = await source.stat();
  const passes = createPasses(request, file, one.progress);
  const watched = stopWhenFull(one);
  try {
    await one.checkFree(file.blocks * SECTOR_BYTES);
    if (request.sha256 !== undefined) await checkSum(source, request.sha256, passes.next(), watched.signal);
    const target = await open(temporary, "wx+", 0o600);
    try {
      const result = await makeContent(source, target, watched, passes);
      refuseChanged(file, await source.stat());
      await target.sync();
      throwIfAborted(watched.signal, "file", "import");
      await one.publish(temporary, result);
      return result;
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
    await rm(temporary, { force: true });
  }
}

/** INVALID for a file that somebody wrote to meanwhile: what was made of it is of no one state of it. */
function refuseChanged(before: Stats, { size, mtimeMs }: Stats): void {
  if (size === before.size && mtimeMs === before.mtimeMs) return;
  throw refusedImage("is still being written: it changed while it was read", "import it once it is whole");
}

type Pass = (readBytes: number, madeBytes: number) => void;
type Passes = { next(ofBytes?: number): Pass };

/** The passes over the bytes that an import is made of: each counts as much as the others, however many bytes it sees. */
function createPasses(request: ImportRequest, file: Stats, progress: Import["progress"]): Passes {
  const unpacking = needsUnpacking(request, file) ? 1 : 0;
  const making = request.format === "raw" ? 1 : unpacking + 2;
  const count = making + (request.sha256 === undefined ? 0 : 1);
  let begun = 0;
  return {
    next(ofBytes = file.size) {
      const before = begun++;
      return (readBytes) => progress(before * ofBytes + readBytes, count * ofBytes);
    },
  };
}

/** Whether what qemu-img reads must be a file of our own: the given one is packed, or nobody may not read it. */
function needsUnpacking({ format, compression = "none" }: ImportRequest, { mode }: Stats): boolean {
  return format !== "raw" && (compression !== "none" || (mode & 0o004) === 0);
}

type Watched = {
  signal: AbortSignal;
  maxBytes: number;
  request: ImportRequest;
  temporary: string;
  look: (pass: Pass) => Pass;
};

/** The import's signal, which also ends with POOL_FULL once its content takes room that others need: it may unpack to any size. */
function stopWhenFull({ signal, maxBytes, request, temporary, checkFree }: Import): Watched {
  const full = new AbortController();
  const look = (pass: Pass): Pass => {
    let looked = 0;
    return (readBytes, madeBytes) => {
      pass(readBytes, madeBytes);
      if (madeBytes < looked + LOOK_EVERY_BYTES) return;
      looked = madeBytes;
      checkFree(0).catch((error) => full.abort(error));
    };
  };
  return { signal: AbortSignal.any([signal, full.signal]), maxBytes, request, temporary, look };
}

async function makeContent(
  source: FileHandle,
  target: FileHandle,
  one: Watched,
  passes: Passes,
): Promise<ImportResult> {
  const { format, compression = "none" } = one.request;
  if (format !== "raw") return convert(source, target, one, passes);
  if (compression === "none") return copyRaw(source, target, one, passes);
  return unpack(source, target, { ...one, compression }, passes);
}

async function copyRaw(source: FileHandle, target: FileHandle, one: Watched, passes: Passes): Promise<ImportResult> {
  const { sizeBytes, paddedBytes } = await prepareTarget(source, target, one);
  const descriptors = { source: source.fd, target: target.fd };
  const sha256 = await copyInChild(descriptors, one.look(passes.next(sizeBytes)), one.signal);
  return { sizeBytes, sha256, paddedBytes };
}

type Packed = Omit<Watched, "request"> & { compression: Exclude<Compression, "none"> };

async function unpack(source: FileHandle, target: FileHandle, one: Packed, passes: Passes): Promise<ImportResult> {
  await checkPacked(source, one.compression);
  const descriptors = { source: source.fd, target: target.fd };
  const { sha256, madeBytes } = await unpackInChild(descriptors, one, one.look(passes.next()), one.signal);
  const { size: sizeBytes } = await target.stat();
  return { sizeBytes, sha256, paddedBytes: sizeBytes - madeBytes };
}

async function convert(source: FileHandle, target: FileHandle, one: Watched, passes: Passes): Promise<ImportResult> {
  const { compression = "none" } = one.request;
  if (!needsUnpacking(one.request, await source.stat())) return convertPlain(source, target, one, passes);
  const path = unpackedBeside(one.temporary);
  const plain = await open(path, "wx+", 0o600);
  try {
    // for qemu-img, which runs as nobody; the folder keeps others out
    await plain.chmod(0o644);
    const descriptors = { source: source.fd, target: plain.fd };
    if (compression !== "none") {
      await checkPacked(source, compression);
      const limited = { ...one, compression, maxBytes: Math.floor(one.maxBytes * CONTAINER_SHARE) };
      await unpackInChild(descriptors, limited, one.look(passes.next()), one.signal);
    } else {
      const { size } = await source.stat();
      await plain.truncate(size);
      await copyInChild(descriptors, one.look(passes.next(size)), one.signal);
    }
    return await convertPlain(plain, target, one, passes);
  } finally {
    await plain.close();
    await rm(path, { force: true });
  }
}

/** Two passes: conversion, and reading the result for its checksum. */
async function convertPlain(
  source: FileHandle,
  target: FileHandle,
  one: Watched,
  passes: Passes,
): Promise<ImportResult> {
  const { sizeBytes, paddedBytes } = await prepareTarget(source, target, one);
  const { format } = one.request;
  // for qemu-img, as above
  await target.chmod(0o666);
  const descriptors = { source: source.fd, target: target.fd };
  await convertInChild(descriptors, { format, sizeBytes }, one.look(passes.next(sizeBytes)), one.signal);
  await target.chmod(0o600);
  const sha256 = await hashInChild(target.fd, passes.next(sizeBytes), one.signal);
  return { sizeBytes, sha256, paddedBytes };
}

/** Gives the target the length of the content, in whole sectors, all of it holes. INVALID for more than is allowed. */
async function prepareTarget(source: FileHandle, target: FileHandle, { request, maxBytes }: Watched) {
  const contentBytes = await contentSizeBytes(source, request.format);
  if (contentBytes > maxBytes) throw tooLarge(maxBytes);
  const sizeBytes = Math.ceil(contentBytes / SECTOR_BYTES) * SECTOR_BYTES;
  await target.truncate(sizeBytes);
  return { sizeBytes, paddedBytes: sizeBytes - contentBytes };
}

/** INVALID unless the file, as it was given, has this checksum. */
async function checkSum(source: FileHandle, wanted: string, pass: Pass, signal: AbortSignal): Promise<void> {
  const found = await hashInChild(source.fd, pass, signal);
  if (found === wanted.toLowerCase()) return;
  throw new ApplianceError("INVALID", `sha256: the file has another checksum: ${found}`, {
    details: { field: "sha256", value: wanted, remedy: "bring the file over again, or state the checksum that it has" },
  });
}

/** What the import of an image that is there already would answer; it is read for it. */
export async function hashImage(
  image: FileHandle,
  { progress, signal }: Pick<Import, "progress" | "signal">,
): Promise<ImportResult> {
  const { size: sizeBytes } = await image.stat();
  const sha256 = await hashInChild(image.fd, (done) => progress(done, sizeBytes), signal);
  return { sizeBytes, sha256, paddedBytes: 0 };
}
