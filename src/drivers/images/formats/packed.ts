import type { FileHandle } from "node:fs/promises";
import type { Compression } from "../../../values/image-format.ts";
import { refusedImage } from "./refused-image.ts";

/** How a packed file begins (RFC 1952 2.3.1; the .xz file format 2.1.1.1; RFC 8878 3.1.1, 3.1.2), as hex. */
const BEGINNINGS: Record<Exclude<Compression, "none">, RegExp> = {
  gz: /^1f8b08/,
  xz: /^fd377a585a00/,
  zst: /^(?:28b52ffd|5.2a4d18)/,
};

/** INVALID for a file that is not packed as it was said to be: the unpacking programs know more formats than their own. */
export async function checkPacked(file: FileHandle, compression: Exclude<Compression, "none">): Promise<void> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, 6, 0);
  if (BEGINNINGS[compression].test(buffer.toString("hex", 0, bytesRead))) return;
  throw refusedImage(`is not packed as ${compression}`, "state the compression that it has, or none");
}
