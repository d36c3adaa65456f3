import { describe, expect, it } from "vitest";
import { QCOW2_HEADER_BYTES, qcow2SizeBytes } from "../../../src/drivers/images/formats/qcow2-header.ts";

const GIB = 1024n ** 3n;

/** A version 3 header of a 1 GiB image, changed by `change`. */
function header(change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(QCOW2_HEADER_BYTES);
  bytes.writeUInt32BE(0x514649fb, 0);
  bytes.writeUInt32BE(3, 4);
  bytes.writeUInt32BE(16, 20);
  bytes.writeBigUInt64BE(GIB, 24);
  bytes.writeUInt32BE(104, 100);
  change(bytes);
  return bytes;
}

describe("a qcow2 header", () => {
  it("tells the virtual size, in versions 2 and 3", () => {
    expect(qcow2SizeBytes(header())).toBe(Number(GIB));
    // In version 2 image data may stand where version 3 keeps its feature bits.
    const old = header((bytes) => bytes.fill(0xff, 72).writeUInt32BE(2, 4));
    expect(qcow2SizeBytes(old)).toBe(Number(GIB));
    expect(qcow2SizeBytes(old.subarray(0, 72))).toBe(Number(GIB));
  });

  it.each<[string, (bytes: Buffer) => void]>([
    ["is not a qcow2 image", (bytes) => bytes.writeUInt32BE(0x514649fa, 0)],
    ["has qcow2 version 4", (bytes) => bytes.writeUInt32BE(4, 4)],
    ["has a backing file", (bytes) => bytes.writeBigUInt64BE(512n, 8)],
    ["has a backing file", (bytes) => bytes.writeUInt32BE(9, 16)],
    ["states an impossible size", (bytes) => bytes.writeBigUInt64BE(0n, 24)],
    ["states an impossible size", (bytes) => bytes.writeBigUInt64BE(2n ** 63n, 24)],
    ["is encrypted", (bytes) => bytes.writeUInt32BE(2, 32)],
    ["is dirty or corrupt", (bytes) => bytes.writeBigUInt64BE(1n, 72)],
    ["is dirty or corrupt", (bytes) => bytes.writeBigUInt64BE(2n, 72)],
    ["has an external data file", (bytes) => bytes.writeBigUInt64BE(4n, 72)],
    ["uses unknown qcow2 features", (bytes) => bytes.writeBigUInt64BE(32n, 72)],
  ])("that %s is refused", (what, change) => {
    expect(() => qcow2SizeBytes(header(change))).toThrow(what);
  });

  it("that is cut short is refused at every byte", () => {
    for (let length = 0; length < QCOW2_HEADER_BYTES; length++) {
      expect(() => qcow2SizeBytes(header().subarray(0, length))).toThrow(/is not a qcow2 image|cut short/);
    }
  });
});
