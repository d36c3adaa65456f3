import { type FileHandle, open, rm } from "node:fs/promises";
import { normalize } from "node:path";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { openConfined } from "../../net/confined-file.ts";
import { throwIfAborted } from "../failure.ts";
import type { ImportRequest, ImportResult } from "./image-store.ts";
import { convertQcow2, readInChild } from "./import-child.ts";
import { QCOW2_HEADER_BYTES, qcow2SizeBytes } from "./qcow2-header.ts";

const SECTOR_BYTES = 512;
/** So often is it looked whether there is room for more. */
const LOOK_EVERY_BYTES = 16 * 1024 * 1024;

export type Import = {
  /** Where the content is made: a file that is not there yet, in a folder that keeps others out. Gone in the end. */
  temporary: string;
  /** Takes over the content once it is whole. */
  publish: (temporary: string, result: ImportResult) => Promise<unknown>;
  importDirectories: string[];
  request: ImportRequest;
  progress: (doneBytes: number, totalBytes: number) => void;
  signal: AbortSignal;
  /** POOL_FULL when so many more bytes would take what is kept free. */
  checkFree: (bytes: number) => Promise<void>;
};

/** Makes the content of an image from a file, and hands it on. Fails as ImageStore's `import`. */
export async function importImage(one: Import): Promise<ImportResult> {
  const { temporary, request } = one;
  const source = await openSource(request.path, one.importDirectories);
  try {
    const sourceBytes = await statedSize(source, request.format);
    const sizeBytes = Math.ceil(sourceBytes / SECTOR_BYTES) * SECTOR_BYTES;
    await one.checkFree((await source.stat()).blocks * SECTOR_BYTES);
    const guarded = stopWhenFull(one);
    const target = await open(temporary, "wx+", 0o600);
    try {
      await target.truncate(sizeBytes);
      const content = await (request.format === "raw" ? copyRaw : copyQcow2)(source, target, sizeBytes, guarded);
      const result = { ...content, paddedBytes: sizeBytes - sourceBytes };
      await target.sync();
      throwIfAborted(guarded.signal, "file", "import");
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

/** The same import, which ends with POOL_FULL once its content takes room that others need: it may unpack to any size. */
function stopWhenFull(one: Import): Import {
  const full = new AbortController();
  let looked = 0;
  const progress: Import["progress"] = (done, total) => {
    one.progress(done, total);
    if (done < looked + LOOK_EVERY_BYTES) return;
    looked = done;
    one.checkFree(0).catch((error) => full.abort(error));
  };
  return { ...one, progress, signal: AbortSignal.any([one.signal, full.signal]) };
}

async function copyRaw(source: FileHandle, target: FileHandle, sizeBytes: number, { progress, signal }: Import) {
  const descriptors = { source: source.fd, target: target.fd };
  const sha256 = await readInChild("copy", descriptors, (done) => progress(done, sizeBytes), signal);
  return { sizeBytes, sha256 };
}

/** Two passes, each counted as half: conversion, and reading the result for its checksum. */
async function copyQcow2(source: FileHandle, target: FileHandle, sizeBytes: number, one: Import) {
  const { progress, signal } = one;
  const total = 2 * sizeBytes;
  // For qemu-img, which runs as nobody; the folder keeps others out.
  await target.chmod(0o666);
  const descriptors = { source: source.fd, target: target.fd };
  await convertQcow2(descriptors, sizeBytes, (done) => progress(done, total), signal);
  await target.chmod(0o600);
  const sha256 = await readInChild("hash", { source: target.fd }, (done) => progress(sizeBytes + done, total), signal);
  return { sizeBytes, sha256 };
}

/** What the import of an image that is there already would answer; it is read for it. */
export async function hashImage(
  image: FileHandle,
  { progress, signal }: Pick<Import, "progress" | "signal">,
): Promise<ImportResult> {
  const { size: sizeBytes } = await image.stat();
  const sha256 = await readInChild("hash", { source: image.fd }, (done) => progress(done, sizeBytes), signal);
  return { sizeBytes, sha256, paddedBytes: 0 };
}

/** FORBIDDEN for a path outside the import directories, by name or by a link. */
async function openSource(path: string, importDirectories: string[]): Promise<FileHandle> {
  const plain = normalize(path);
  const directory = importDirectories.find((one) => plain.startsWith(`${normalize(one).replace(/\/$/, "")}/`));
  if (directory === undefined) {
    throw new ApplianceError("FORBIDDEN", `path: ${path} is in no import directory`, {
      details: {
        field: "path",
        value: path,
        remedy: `put the file into ${importDirectories.join(" or ")}, or add its directory to pool.importDirectories`,
      },
    });
  }
  try {
    return (await openConfined(directory, plain.slice(normalize(directory).replace(/\/$/, "").length))).handle;
  } catch (cause) {
    throw unusableSource(path, cause);
  }
}

function unusableSource(path: string, cause: unknown): unknown {
  const field = { field: "path", value: path };
  if (isApplianceError(cause, "NOT_FOUND")) {
    const remedy = "the path is one on the appliance: copy the file there first";
    return new ApplianceError("NOT_FOUND", `path: there is no file ${path}`, { details: { ...field, remedy }, cause });
  }
  if (isApplianceError(cause, "FORBIDDEN")) {
    const remedy = "put the file itself there, not a link to it";
    const message = `path: ${path} leads out of the import directory, or can't be read`;
    return new ApplianceError("FORBIDDEN", message, { details: { ...field, remedy }, cause });
  }
  return cause;
}

/** The size of the raw content, by what the caller says the format is. */
async function statedSize(source: FileHandle, format: ImportRequest["format"]): Promise<number> {
  if (format === "qcow2") {
    const header = Buffer.alloc(QCOW2_HEADER_BYTES);
    const { bytesRead } = await source.read(header, 0, header.length, 0);
    return qcow2SizeBytes(header.subarray(0, bytesRead));
  }
  const { size } = await source.stat();
  if (size > 0) return size;
  throw new ApplianceError("INVALID", "path: the file is empty", {
    details: { field: "path", remedy: "copy it again" },
  });
}
