import type { ReadAt } from "./content-size.ts";
import { possibleSize, refusedImage } from "./refused-image.ts";

const SIGNATURE = "vhdxfile";
const KIB = 1024;
/** Both copies of the region table; a reader takes the first that is well. */
const REGION_TABLES = [192 * KIB, 256 * KIB];
const TABLE_BYTES = 64 * KIB;
const MOST_ENTRIES = 2047;

const METADATA_REGION = guid("8B7CA206-4790-4B9A-B8FE-575F050F886E");
const FILE_PARAMETERS = guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B");
const VIRTUAL_DISK_SIZE = guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8");
const PARENT_LOCATOR = guid("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C");
const HAS_PARENT = 2;

/**
 * The virtual size that a VHDX states (MS-VHDX 2.2, 2.6). INVALID for what is no VHDX, and for differencing images:
 * their parent locator names paths.
 */
export async function vhdxSizeBytes(read: ReadAt): Promise<number> {
  if ((await read(8, 0)).toString("latin1") !== SIGNATURE) {
    throw refusedImage("is not a vhdx image", "state the format that it has, or copy it again");
  }
  // a reader may take either copy: what they say must hold for both
  const sizes = new Set<bigint>();
  for (const table of REGION_TABLES) sizes.add(await statedSize(read, await metadataPlace(read, table)));
  const [size = 0n, other] = sizes;
  if (other !== undefined) throw cutShort();
  return possibleSize(size);
}

async function metadataPlace(read: ReadAt, at: number): Promise<number> {
  const table = await read(TABLE_BYTES, at);
  const count = entryCount(table, "regi", 8);
  for (let entry = 16; entry < 16 + count * 32; entry += 32) {
    if (table.subarray(entry, entry + 16).equals(METADATA_REGION)) return place(table.readBigUInt64LE(entry + 16));
  }
  throw cutShort();
}

async function statedSize(read: ReadAt, at: number): Promise<bigint> {
  const table = await read(TABLE_BYTES, at);
  const count = entryCount(table, "metadata", 10);
  let size: bigint | undefined;
  for (let entry = 32; entry < 32 + count * 32; entry += 32) {
    const item = table.subarray(entry, entry + 16);
    const offset = at + table.readUInt32LE(entry + 16);
    if (item.equals(PARENT_LOCATOR)) throw differencing();
    if (item.equals(FILE_PARAMETERS)) {
      const parameters = await read(8, offset);
      if (parameters.length < 8) throw cutShort();
      if (parameters.readUInt32LE(4) & HAS_PARENT) throw differencing();
    }
    if (item.equals(VIRTUAL_DISK_SIZE)) {
      const stated = await read(8, offset);
      if (stated.length < 8 || size !== undefined) throw cutShort();
      size = stated.readBigUInt64LE(0);
    }
  }
  if (size === undefined) throw cutShort();
  return size;
}

/** The number of entries of a table, all of them there. */
function entryCount(table: Buffer, signature: string, at: number): number {
  if (table.length < TABLE_BYTES || table.toString("latin1", 0, signature.length) !== signature) throw cutShort();
  const count = signature === "regi" ? table.readUInt32LE(at) : table.readUInt16LE(at);
  if (count > MOST_ENTRIES - 1) throw cutShort();
  return count;
}

function place(offset: bigint): number {
  if (offset > 2n ** 46n) throw cutShort();
  return Number(offset);
}

function cutShort() {
  return refusedImage("is cut short or corrupt", "copy it again, or check it: qemu-img check");
}

function differencing() {
  return refusedImage("is the difference to another image", "make it whole: Convert-VHD, or qemu-img convert");
}

/** As bytes: the first three parts are little-endian (MS-DTYP 2.3.4.2). */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}
