import { describe, expect, it } from "vitest";
import { BlockRing } from "../../../src/tftp/block-ring.ts";
import { decodeTftp } from "../../../src/wire/tftp/packet.ts";

const contents = (size: number) =>
  Buffer.from(Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8)) & 255));

/** A file in memory that counts how often it is read. */
function memoryFile(bytes: Buffer) {
  const file = {
    reads: 0,
    read: async (into: Uint8Array[], position: number) => {
      file.reads++;
      let offset = position;
      for (const part of into) offset += bytes.copy(part, 0, offset);
      return offset - position;
    },
  };
  return file;
}

/** Carries the file through the ring, acknowledging `step` blocks at a time. */
async function carry(bytes: Buffer, blockBytes: number, windowBlocks: number, step: number) {
  const file = memoryFile(bytes);
  const ring = new BlockRing(file.read, bytes.length, blockBytes, windowBlocks);
  const payloads: Uint8Array[] = [];
  const numbers: number[] = [];
  for (let acked = 0; acked < ring.last; ) {
    if (ring.wantsRead(acked)) await ring.read(acked);
    const until = Math.min(ring.loaded, acked + step);
    expect(until).toBeGreaterThan(acked);
    for (; acked < until; acked++) {
      const packet = decodeTftp(ring.packets(acked + 1, acked + 1));
      if (packet.type !== "data") throw new Error(`not DATA but ${packet.type}`);
      numbers.push(packet.block);
      payloads.push(Buffer.from(packet.bytes));
    }
  }
  return { bytes: Buffer.concat(payloads), sizes: payloads.map((one) => one.length), numbers, reads: file.reads };
}

describe("the ring of blocks in memory", () => {
  it.each([
    [0, 512, [0]],
    [1, 512, [1]],
    [511, 512, [511]],
    [512, 512, [512, 0]],
    [513, 512, [512, 1]],
    [1024, 512, [512, 512, 0]],
  ])("cuts a file of %i bytes at %i into blocks of %j (RFC 1350 6)", async (size, blockBytes, sizes) => {
    const carried = await carry(contents(size), blockBytes, 1, 1);
    expect(carried.sizes).toEqual(sizes);
    expect(carried.bytes).toEqual(contents(size));
  });

  it.each([
    [1_000_000, 1468, 1, 1],
    [1_000_000, 1468, 16, 16],
    [1_000_000, 1468, 89, 7],
    [999_999, 8192, 16, 5],
    [700_000, 65464, 2, 1],
    [300_000, 8, 64, 64],
  ])(
    "brings %i bytes whole, %i a block, windows of %i, %i acknowledged at a time",
    async (size, block, window, step) => {
      const carried = await carry(contents(size), block, window, step);
      expect(carried.bytes.equals(contents(size))).toBe(true);
      // Reading goes in large pieces, not block by block.
      expect(carried.reads).toBeLessThanOrEqual(Math.ceil(size / Math.min(32 * 1024, block * 512)) + 2);
    },
  );

  it("numbers blocks with 16 bits, 0 after 65535", async () => {
    const { numbers } = await carry(contents(8 * 65540), 8, 16, 16);
    expect(numbers.slice(65533, 65538)).toEqual([65534, 65535, 0, 1, 2]);
  });

  it("keeps what is not acknowledged while it reads on", async () => {
    const bytes = contents(500_000);
    const ring = new BlockRing(memoryFile(bytes).read, bytes.length, 512, 4);
    await ring.read(0);
    const acked = ring.loaded - 4;
    const before = [1, 2, 3, 4].map((offset) => Buffer.from(ring.packets(acked + offset, acked + offset)));
    await ring.read(acked);
    expect([1, 2, 3, 4].map((offset) => ring.packets(acked + offset, acked + offset))).toEqual(before);
    expect(ring.loaded).toBeGreaterThan(acked + 4);
  });

  it.each([1, 3, 16, 1000])("lays the packets of a window of %i one behind the other", async (windowBlocks) => {
    const bytes = contents(500_123);
    const ring = new BlockRing(memoryFile(bytes).read, bytes.length, 1468, windowBlocks);
    const payloads: Uint8Array[] = [];
    for (let acked = 0; acked < ring.last; ) {
      if (ring.wantsRead(acked)) await ring.read(acked);
      const run = ring.packets(acked + 1, Math.min(acked + windowBlocks, ring.loaded));
      for (let start = 0; start < run.length; start += ring.packetBytes) {
        const packet = decodeTftp(run.subarray(start, start + ring.packetBytes));
        expect(packet).toMatchObject({ type: "data", block: ++acked });
        if (packet.type === "data") payloads.push(Buffer.from(packet.bytes));
      }
    }
    expect(Buffer.concat(payloads).equals(bytes)).toBe(true);
  });

  it("fails when the file has become shorter", async () => {
    const ring = new BlockRing(memoryFile(contents(600)).read, 5000, 512, 1);
    await expect(ring.read(0)).rejects.toMatchObject({ code: "CONFLICT" });
  });
});
