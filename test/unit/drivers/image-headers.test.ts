/** Headers of VMDK, VHDX and VDI: what is taken, what is refused, and that no bytes whatever do more harm than that. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ReadAt } from "../../../src/drivers/images/formats/content-size.ts";
import { vdiSizeBytes } from "../../../src/drivers/images/formats/vdi-header.ts";
import { vhdxSizeBytes } from "../../../src/drivers/images/formats/vhdx-header.ts";
import { vmdkSizeBytes } from "../../../src/drivers/images/formats/vmdk-header.ts";
import { isApplianceError } from "../../../src/errors.ts";

const MIB = 1024 ** 2;
const SIZE = 64 * MIB;

const readFrom =
  (file: Buffer): ReadAt =>
  async (length, position) =>
    file.subarray(position, position + length);

const DESCRIPTOR = `# Disk DescriptorFile
version=1
CID=c199c77f
parentCID=ffffffff
createType="monolithicSparse"

RW ${SIZE / 512} SPARSE "disk.vmdk"

ddb.adapterType = "ide"
`;

function vmdk(descriptor = DESCRIPTOR, change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(64 * 1024);
  bytes.write("KDMV", 0, "latin1");
  bytes.writeUInt32LE(1, 4);
  bytes.writeBigUInt64LE(BigInt(SIZE / 512), 12);
  bytes.writeBigUInt64LE(1n, 28);
  bytes.writeBigUInt64LE(20n, 36);
  bytes.writeBigUInt64LE(26n, 56);
  bytes.write(descriptor, 512, "latin1");
  change(bytes);
  return bytes;
}

function vdi(change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.writeUInt32LE(0xbeda107f, 0x40);
  bytes.writeUInt32LE(0x00010001, 0x44);
  bytes.writeUInt32LE(1, 0x4c);
  bytes.writeBigUInt64LE(BigInt(SIZE), 0x170);
  bytes.writeUInt32LE(MIB, 0x178);
  change(bytes);
  return bytes;
}

/** As bytes of a GUID lie in the file. */
const METADATA = Buffer.from("06a27c8b90479a4bb8fe575f050f886e", "hex");
const PARAMETERS = Buffer.from("3767a1ca36fa434db3b633f0aa44e76b", "hex");
const DISK_SIZE = Buffer.from("2442a52f1bcd7648b2115dbed83bf4b8", "hex");
const LOCATOR = Buffer.from("2d5fd3a80bb34d45abf7d3d84834ab0c", "hex");

function vhdx(items = [PARAMETERS, DISK_SIZE], change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(MIB + 128 * 1024);
  bytes.write("vhdxfile", 0, "latin1");
  for (const table of [192 * 1024, 256 * 1024]) {
    bytes.write("regi", table, "latin1");
    bytes.writeUInt32LE(1, table + 8);
    METADATA.copy(bytes, table + 16);
    bytes.writeBigUInt64LE(BigInt(MIB), table + 32);
  }
  bytes.write("metadata", MIB, "latin1");
  bytes.writeUInt16LE(items.length, MIB + 10);
  for (const [index, item] of items.entries()) {
    const entry = MIB + 32 + index * 32;
    item.copy(bytes, entry);
    bytes.writeUInt32LE(64 * 1024 + index * 16, entry + 16);
    if (item === DISK_SIZE) bytes.writeBigUInt64LE(BigInt(SIZE), MIB + 64 * 1024 + index * 16);
  }
  change(bytes);
  return bytes;
}

const sizeOf = {
  vmdk: (bytes: Buffer) => vmdkSizeBytes(readFrom(bytes), bytes.length),
  vhdx: (bytes: Buffer) => vhdxSizeBytes(readFrom(bytes)),
  vdi: async (bytes: Buffer) => vdiSizeBytes(bytes, bytes.length),
};
const whole = { vmdk: vmdk(), vhdx: vhdx(), vdi: vdi() };
const formats = ["vmdk", "vhdx", "vdi"] as const;

describe.each(formats)("a %s header", (format) => {
  it("tells the virtual size", async () => {
    expect(await sizeOf[format](whole[format])).toBe(SIZE);
  });

  it("that is cut short, or of another format, is refused", async () => {
    for (const length of [0, 1, 4, 8, 64, 511]) {
      await expect(sizeOf[format](whole[format].subarray(0, length))).rejects.toMatchObject({ code: "INVALID" });
    }
    for (const other of formats.filter((one) => one !== format)) {
      await expect(sizeOf[format](whole[other])).rejects.toThrow(`is not a ${format} image`);
    }
  });

  it("of any bytes is read or refused, and never more", async () => {
    const change = fc.array(fc.tuple(fc.nat(2047), fc.nat(255)), { minLength: 1, maxLength: 20 });
    // where the three keep what is read of them
    const places = { vmdk: [0], vhdx: [0, 192 * 1024, MIB, MIB + 64 * 1024], vdi: [0] }[format];
    await fc.assert(
      fc.asyncProperty(change, fc.constantFrom(...places), async (changes, place) => {
        const bytes = Buffer.from(whole[format]);
        for (const [at, value] of changes) if (place + at < bytes.length) bytes[place + at] = value;
        try {
          expect(await sizeOf[format](bytes)).toBeGreaterThan(0);
        } catch (error) {
          if (!isApplianceError(error, "INVALID")) throw error;
        }
      }),
    );
  });
});

describe("what names other files is refused", () => {
  it.each<[string, Buffer]>([
    ["only names other files", Buffer.from(DESCRIPTOR)],
    ["extents in other files", vmdk(DESCRIPTOR.replace("monolithicSparse", "monolithicFlat"))],
    ["extents in other files", vmdk(`${DESCRIPTOR}RW 8 FLAT "/etc/shadow" 0\n`)],
    ["extents in other files", vmdk(DESCRIPTOR.replace("disk.vmdk", "/etc/shadow"))],
    ["difference", vmdk(`${DESCRIPTOR}parentFileNameHint="/etc/shadow"\n`)],
    ["difference", vmdk(DESCRIPTOR.replace("ffffffff", "c199c77f"))],
    ["impossible size", vmdk(DESCRIPTOR, (bytes) => bytes.writeBigUInt64LE(0n, 12))],
    ["cut short", vmdk(DESCRIPTOR, (bytes) => bytes.writeBigUInt64LE(0xffffffffffffffffn, 56))],
    [
      // the last header counts: it must not say something else than the first
      "cut short",
      vmdk(DESCRIPTOR, (bytes) => {
        bytes.writeBigUInt64LE(0xffffffffffffffffn, 56);
        bytes.copy(bytes, bytes.length - 1024, 0, 512);
        bytes.writeBigUInt64LE(0n, bytes.length - 1024 + 12);
      }),
    ],
  ])("%s: vmdk", async (what, bytes) => {
    await expect(sizeOf.vmdk(bytes)).rejects.toThrow(what);
  });

  it.each<[string, Buffer]>([
    ["difference", vhdx([PARAMETERS, DISK_SIZE, LOCATOR])],
    ["difference", vhdx(undefined, (bytes) => bytes.writeUInt32LE(2, MIB + 64 * 1024 + 4))],
    ["cut short", vhdx([PARAMETERS])],
    ["cut short", vhdx([DISK_SIZE, DISK_SIZE])],
    ["cut short", vhdx(undefined, (bytes) => bytes.fill(0, 256 * 1024, 257 * 1024))],
  ])("%s: vhdx", async (what, bytes) => {
    await expect(sizeOf.vhdx(bytes)).rejects.toThrow(what);
  });

  it.each<[string, Buffer]>([
    ["difference", vdi((bytes) => bytes.writeUInt32LE(4, 0x4c))],
    ["difference", vdi((bytes) => bytes.fill(1, 0x1b8, 0x1c8))],
    ["difference", vdi((bytes) => bytes.fill(1, 0x1a8, 0x1b8))],
    ["cut short", vdi((bytes) => bytes.writeUInt32LE(1, 0x184))],
    ["another vdi version", vdi((bytes) => bytes.writeUInt32LE(1, 0x44))],
  ])("%s: vdi", async (what, bytes) => {
    await expect(sizeOf.vdi(bytes)).rejects.toThrow(what);
  });
});
