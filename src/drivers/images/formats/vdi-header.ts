import { possibleSize, refusedImage } from "./refused-image.ts";

/** What is read of a file: pre-header and header of version 1.1. */
export const VDI_HEADER_BYTES = 512;

const SIGNATURE = 0xbeda107f;
const VERSION = 0x00010001;
const TYPES = { dynamic: 1, static: 2 } as const;
const NO_UUID = Buffer.alloc(16);

/**
 * The virtual size that a VDI header states (VirtualBox's VDICore.h). INVALID for what is no VDI, or shorter than it says, and for undo and
 * differencing images: they are made of other files.
 */
export function vdiSizeBytes(header: Buffer, fileBytes: number): number {
  if (header.length < VDI_HEADER_BYTES || header.readUInt32LE(0x40) !== SIGNATURE) {
    throw refusedImage("is not a vdi image", "state the format that it has, or copy it again");
  }
  if (header.readUInt32LE(0x44) !== VERSION) {
    throw refusedImage("has another vdi version than 1.1", "convert it: qemu-img convert -O qcow2");
  }
  const [link, parent] = [header.subarray(0x1a8, 0x1b8), header.subarray(0x1b8, 0x1c8)];
  const type = header.readUInt32LE(0x4c);
  if ((type !== TYPES.dynamic && type !== TYPES.static) || !link.equals(NO_UUID) || !parent.equals(NO_UUID)) {
    throw refusedImage("is the difference to another image", "make it whole: VBoxManage clonemedium");
  }
  const allocatedBytes = header.readUInt32LE(0x184) * (header.readUInt32LE(0x178) + header.readUInt32LE(0x17c));
  if (header.readUInt32LE(0x158) + allocatedBytes > fileBytes) throw refusedImage("is cut short", "copy it again");
  return possibleSize(header.readBigUInt64LE(0x170));
}
