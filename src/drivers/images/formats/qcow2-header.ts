import { possibleSize, refusedImage } from "./refused-image.ts";

/** What is read of a file: the whole header of version 3, more than that of version 2. */
export const QCOW2_HEADER_BYTES = 104;

const HEADER_BYTES = { 2: 72, 3: QCOW2_HEADER_BYTES } as const;
const MAGIC = 0x514649fb;
const INCOMPATIBLE = { dirty: 1n, corrupt: 2n, externalFile: 4n, compression: 8n, extendedL2: 16n } as const;
const KNOWN = INCOMPATIBLE.compression | INCOMPATIBLE.extendedL2;

/**
 * The virtual size that a qcow2 header states. INVALID for what is not qcow2, and for what a converter would have to
 * follow or unlock: a backing file, an external data file (both name paths on this machine), encryption; also for
 * features that this reader does not know, and images left dirty or corrupt.
 */
export function qcow2SizeBytes(header: Buffer): number {
  if (header.length < HEADER_BYTES[2] || header.readUInt32BE(0) !== MAGIC)
    throw refusedImage("is not a qcow2 image", "state the format that it has, or copy it again");
  const version = header.readUInt32BE(4);
  if (version === 3 && header.length < HEADER_BYTES[3]) throw refusedImage("is cut short", "copy it again");
  if (version !== 2 && version !== 3)
    throw refusedImage(`has qcow2 version ${version}`, "convert it to version 2 or 3");
  if (header.readBigUInt64BE(8) !== 0n || header.readUInt32BE(16) !== 0) {
    throw refusedImage("has a backing file", "flatten it: qemu-img convert -O qcow2");
  }
  if (header.readUInt32BE(32) !== 0) throw refusedImage("is encrypted", "decrypt it: qemu-img convert");
  const features = version === 3 ? header.readBigUInt64BE(72) : 0n;
  if (features & INCOMPATIBLE.externalFile)
    throw refusedImage("has an external data file", "convert it: qemu-img convert -O qcow2");
  if (features & (INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt))
    throw refusedImage("is dirty or corrupt", "repair it: qemu-img check -r all");
  if (features & ~KNOWN) throw refusedImage("uses unknown qcow2 features", "convert it: qemu-img convert -O qcow2");
  return possibleSize(header.readBigUInt64BE(24));
}
