import type { ReadAt } from "./content-size.ts";
import { possibleSize, refusedImage } from "./refused-image.ts";

const SECTOR_BYTES = 512n;
const MAGIC = "KDMV";
const DESCRIPTOR_MAGIC = "# Disk D";
const ESX_MAGIC = "COWD";
/** The grain directory's place when it is only told at the end: a stream whose size nobody knew. */
const AT_END = 0xffffffffffffffffn;
/** The last three sectors of such a stream: marker, header once more, end. */
const FOOTER_BYTES = 1536;
const MOST_DESCRIPTOR_SECTORS = 128n;
const ONE_FILE = ["monolithicSparse", "streamOptimized"];

type SparseHeader = { capacity: bigint; descriptorAt: bigint; descriptorSectors: bigint; directoryAt: bigint };

/**
 * The virtual size that a VMDK states (VMware's "Virtual Disk Format 5.0"). Only images in one file are taken:
 * monolithicSparse and streamOptimized. INVALID for what is no VMDK, and for descriptors that name extents or a parent:
 * those are paths on this machine.
 */
export async function vmdkSizeBytes(read: ReadAt, fileBytes: number): Promise<number> {
  const start = await read(512, 0);
  const magic = start.toString("latin1", 0, DESCRIPTOR_MAGIC.length);
  if (magic === DESCRIPTOR_MAGIC || magic.startsWith(ESX_MAGIC)) {
    throw refusedImage(
      "only names other files",
      "put it into one file: qemu-img convert -O vmdk -o subformat=streamOptimized",
    );
  }
  if (start.length < 512 || !magic.startsWith(MAGIC)) {
    throw refusedImage("is not a vmdk image", "state the format that it has, or copy it again");
  }
  const header = parseHeader(start);
  if (header.directoryAt === AT_END) {
    const footer = (await read(FOOTER_BYTES, Math.max(0, fileBytes - FOOTER_BYTES))).subarray(512, 1024);
    const last = footer.length === 512 && footer.toString("latin1", 0, 4) === MAGIC ? parseHeader(footer) : undefined;
    if (last?.capacity !== header.capacity || last.descriptorAt !== header.descriptorAt) {
      throw refusedImage("is cut short: its last header is not like its first", "copy it again");
    }
  }
  // readers take the extents from the descriptor where the header states no size
  if (header.capacity === 0n) throw refusedImage("states an impossible size", "check the file");
  await checkDescriptor(read, header);
  return possibleSize(header.capacity * SECTOR_BYTES);
}

function parseHeader(sector: Buffer): SparseHeader {
  return {
    capacity: sector.readBigUInt64LE(12),
    descriptorAt: sector.readBigUInt64LE(28),
    descriptorSectors: sector.readBigUInt64LE(36),
    directoryAt: sector.readBigUInt64LE(56),
  };
}

/** Whatever stands in the descriptor: it may name nothing but this very file. */
async function checkDescriptor(read: ReadAt, { descriptorAt, descriptorSectors }: SparseHeader): Promise<void> {
  if (descriptorAt === 0n) return;
  if (descriptorAt > 2n ** 32n || descriptorSectors > MOST_DESCRIPTOR_SECTORS) {
    throw refusedImage("has an impossible descriptor", "check the file");
  }
  // readers look at 20 KiB from its beginning, whatever length it states
  const length = Math.max(Number(descriptorSectors * SECTOR_BYTES), 20 * 1024);
  const text = (await read(length, Number(descriptorAt * SECTOR_BYTES))).toString("latin1");
  const type = /^createType\s*=\s*"?(\w+)/m.exec(text)?.[1];
  const parent = /parentFileNameHint/.test(text) || (/parentCID\s*=\s*([0-9a-fA-F]+)/.exec(text)?.[1] ?? NO_PARENT);
  if (parent === true || parent.toLowerCase() !== NO_PARENT) {
    throw refusedImage("is the difference to another image", "make it whole: qemu-img convert -O qcow2");
  }
  const extents = text.match(/^(?:RW|RDONLY|NOACCESS)\s.*$/gm) ?? [];
  const isOneFile = extents.length <= 1 && extents.every((line) => /^RW\s+\d+\s+SPARSE\s+"[^"/]*"\s*$/.test(line));
  if (!ONE_FILE.includes(type ?? "") || !isOneFile) {
    throw refusedImage(
      `is a vmdk of type ${type ?? "unknown"}, with its extents in other files`,
      "put it into one file: qemu-img convert -O vmdk -o subformat=streamOptimized",
    );
  }
}

const NO_PARENT = "ffffffff";
