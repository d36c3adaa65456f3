import type { FileHandle } from "node:fs/promises";
import type { ImageFormat } from "../../../values/image-format.ts";
import { QCOW2_HEADER_BYTES, qcow2SizeBytes } from "./qcow2-header.ts";
import { refusedImage } from "./refused-image.ts";
import { VDI_HEADER_BYTES, vdiSizeBytes } from "./vdi-header.ts";
import { vhdxSizeBytes } from "./vhdx-header.ts";
import { vmdkSizeBytes } from "./vmdk-header.ts";

/** Reads a piece of a file; shorter than asked for where the file ends. */
export type ReadAt = (length: number, position: number) => Promise<Buffer>;

/**
 * The size of the raw content, by what the file is said to be. INVALID for what it is not, and for what a converter would
 * have to follow to other files or unlock: it is not even shown to one.
 */
export async function contentSizeBytes(file: FileHandle, format: ImageFormat): Promise<number> {
  const { size } = await file.stat();
  if (size === 0) throw refusedImage("is empty", "copy it again");
  const read: ReadAt = async (length, position) => {
    const piece = Buffer.alloc(length);
    const { bytesRead } = await file.read(piece, 0, length, position);
    return piece.subarray(0, bytesRead);
  };
  switch (format) {
    case "raw":
      return size;
    case "qcow2":
      return qcow2SizeBytes(await read(QCOW2_HEADER_BYTES, 0));
    case "vmdk":
      return vmdkSizeBytes(read, size);
    case "vhdx":
      return vhdxSizeBytes(read);
    case "vdi":
      return vdiSizeBytes(await read(VDI_HEADER_BYTES, 0), size);
  }
}
