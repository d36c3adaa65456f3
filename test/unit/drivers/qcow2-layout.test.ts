import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLUSTER_BYTES, ClusterMap } from "../../../src/drivers/images/formats/cluster-map.ts";
import { qcow2SizeBytes } from "../../../src/drivers/images/formats/qcow2-header.ts";
import { Qcow2Layout } from "../../../src/drivers/images/formats/qcow2-layout.ts";
import { mapOf } from "../../../src/drivers/images/kept-maps.ts";
import { layoutOf, readQcow2, type SparseContent } from "../../../src/drivers/images/read-qcow2.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const TIB = 1024 ** 4;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-qcow2-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const check = (file: string) =>
  JSON.parse(String(execFileSync("qemu-img", ["check", "-f", "qcow2", "--output", "json", file])));

/** Bytes of which some pieces are written, each with content of its own. */
function sparse(sizeBytes: number, pieces: [offset: number, length: number][]): SparseContent & { bytes: Buffer } {
  const bytes = Buffer.alloc(sizeBytes);
  for (const [index, [offset, length]] of pieces.entries()) {
    bytes.fill(`piece ${index} at ${offset} `, offset, Math.min(sizeBytes, offset + length));
  }
  return {
    bytes,
    sizeBytes,
    map: () =>
      mapOf(sizeBytes, async (found) => {
        for (const piece of pieces) found(...piece);
      }),
    read: async function* (ranges) {
      for (const { first, last } of ranges) yield bytes.subarray(first, last + 1);
    },
  };
}

async function wholeFile(content: SparseContent): Promise<Buffer> {
  const { sizeBytes, digest } = await layoutOf(content);
  const file = await buffer(await readQcow2(content, digest, { first: 0, last: sizeBytes - 1 }));
  expect(file.length).toBe(sizeBytes);
  return file;
}

/** What a reader who knows the format finds in it. */
function decode(file: Buffer): Buffer {
  const at = (offset: number) => Number(file.readBigUInt64BE(offset) & 0x00ff_ffff_ffff_fe00n);
  const sizeBytes = qcow2SizeBytes(file);
  const content = Buffer.alloc(Math.ceil(sizeBytes / CLUSTER_BYTES) * CLUSTER_BYTES);
  for (let cluster = 0; cluster * CLUSTER_BYTES < sizeBytes; cluster++) {
    const l2 = at(at(40) + 8 * Math.floor(cluster / 8192));
    const found = l2 === 0 ? 0 : at(l2 + 8 * (cluster % 8192));
    if (found !== 0) file.copy(content, cluster * CLUSTER_BYTES, found, found + CLUSTER_BYTES);
  }
  return content.subarray(0, sizeBytes);
}

const SECTOR = 512;
const contents = fc
  .record({
    sectors: fc.integer({ min: 1, max: 4000 }),
    pieces: fc.array(fc.tuple(fc.integer({ min: 0, max: 4000 }), fc.integer({ min: 1, max: 700 })), { maxLength: 6 }),
  })
  .map(({ sectors, pieces }) => {
    const inside = pieces.filter(([offset]) => offset < sectors);
    return sparse(
      sectors * SECTOR,
      inside.map(([offset, length]) => [offset * SECTOR, length * SECTOR]),
    );
  });

describe("content as qcow2", () => {
  it("is that content, and holds no cluster without any", async () => {
    await fc.assert(
      fc.asyncProperty(contents, async (content) => {
        const file = await wholeFile(content);
        expect(decode(file).equals(content.bytes)).toBe(true);
        const map = await content.map();
        // header, refcount table and block, L1 table, an L2 table where there is any
        expect(file.length / CLUSTER_BYTES).toBe(4 + map.tables.length + map.count);
      }),
    );
  });

  it("has the same bytes in every range as in the whole", async () => {
    const positions = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }));
    await fc.assert(
      fc.asyncProperty(contents, fc.array(positions, { minLength: 1, maxLength: 5 }), async (content, asked) => {
        const file = await wholeFile(content);
        const { digest } = await layoutOf(content);
        for (const pair of asked) {
          const [first = 0, last = 0] = pair.map((one) => Math.round(one * (file.length - 1))).sort((a, b) => a - b);
          const part = await buffer(await readQcow2(content, digest, { first, last }));
          expect(part.equals(file.subarray(first, last + 1)), `${first}-${last}`).toBe(true);
        }
      }),
    );
  });

  it("begins and ends right at each edge of a cluster, and of the content", async () => {
    const content = sparse(5 * CLUSTER_BYTES + SECTOR, [
      [0, 1],
      [2 * CLUSTER_BYTES + 1, CLUSTER_BYTES],
      [5 * CLUSTER_BYTES, SECTOR],
    ]);
    const file = await wholeFile(content);
    const { digest } = await layoutOf(content);
    const edges = Array.from({ length: file.length / CLUSTER_BYTES + 1 }, (_, index) => index * CLUSTER_BYTES);
    const positions = [...edges, file.length - CLUSTER_BYTES + SECTOR]
      .flatMap((edge) => [edge - 1, edge, edge + 1])
      .filter((one) => one >= 0 && one < file.length);
    for (const first of positions) {
      for (const last of positions.filter((one) => one >= first)) {
        const part = await buffer(await readQcow2(content, digest, { first, last }));
        expect(part.equals(file.subarray(first, last + 1)), `${first}-${last}`).toBe(true);
      }
    }
  });

  it.each([
    ["nothing at all", 3 * CLUSTER_BYTES, []],
    [
      "a few pieces, the last one at an odd end",
      600 * MIB + SECTOR,
      [
        [MIB, 3 * MIB],
        [520 * MIB, SECTOR],
        [600 * MIB, SECTOR],
      ],
    ],
    [
      "more than one L1 cluster tells of, nearly empty",
      5 * TIB,
      [
        [0, MIB],
        [3 * TIB, MIB],
        [5 * TIB - SECTOR, SECTOR],
      ],
    ],
    ["just so much that its tables need another block", 32_762 * CLUSTER_BYTES, [[0, 32_762 * CLUSTER_BYTES]]],
    ["more than one block of reference counts tells of", 5 * GIB, [[0, 5 * GIB]]],
  ] as [string, number, [number, number][]][])("is without fault for qemu-img: %s", async (_, sizeBytes, pieces) => {
    const map = new ClusterMap(sizeBytes);
    for (const piece of pieces) map.add(...piece);
    const layout = new Qcow2Layout(map);
    const path = join(directory, "tables.qcow2");
    // the content itself is left out: qemu-img looks at the tables alone
    await writeFile(path, "");
    const file = await open(path, "r+");
    for (let at = 0; at < layout.tablesBytes; at += CLUSTER_BYTES) {
      await file.write(layout.tableCluster(at / CLUSTER_BYTES), 0, CLUSTER_BYTES, at);
    }
    await file.close();
    await truncate(path, layout.sizeBytes);
    const found = check(path);
    expect(found).toMatchObject({ "check-errors": 0, "image-end-offset": layout.sizeBytes });
    expect(found.leaks ?? 0).toBe(0);
    expect(found.corruptions ?? 0).toBe(0);
    expect(found["allocated-clusters"] ?? 0).toBe(map.count);
    const told = JSON.parse(String(execFileSync("qemu-img", ["info", "-f", "qcow2", "--output", "json", path])));
    expect(told).toMatchObject({ "virtual-size": sizeBytes, "cluster-size": CLUSTER_BYTES, "dirty-flag": false });
    expect(told["format-specific"].data).toMatchObject({ compat: "1.1", "refcount-bits": 16, corrupt: false });
  });

  it("counts its own blocks of reference counts, also where their table is longer than a cluster", () => {
    const map = new ClusterMap(17 * TIB);
    map.add(0, 17 * TIB);
    const layout = new Qcow2Layout(map);
    const clusters = layout.sizeBytes / CLUSTER_BYTES;
    const header = layout.tableCluster(0);
    const tableClusters = header.readUInt32BE(56);
    expect(tableClusters).toBe(2);
    const blocks: Buffer[] = [];
    for (let index = 1; index <= tableClusters; index++) {
      const table = layout.tableCluster(index);
      for (let entry = 0; entry < table.length; entry += 8) {
        const offset = Number(table.readBigUInt64BE(entry));
        if (offset !== 0) blocks.push(layout.tableCluster(offset / CLUSTER_BYTES));
      }
    }
    const full = Buffer.alloc(CLUSTER_BYTES, Buffer.from([0, 1]));
    const last = blocks.pop() as Buffer;
    expect(blocks.every((block) => block.equals(full))).toBe(true);
    let counted = (blocks.length * CLUSTER_BYTES) / 2;
    for (let count = 0; count < last.length; count += 2) counted += last.readUInt16BE(count);
    expect(counted).toBe(clusters);
  });

  it("takes a KiB for what an L2 table tells of, and finds its way at once, whatever the size", () => {
    const map = new ClusterMap(TIB);
    for (let offset = 0; offset < TIB; offset += 256 * MIB) map.add(offset, CLUSTER_BYTES);
    const layout = new Qcow2Layout(map);
    expect(map.tables.length).toBe(2048);
    expect(map.tables.every(({ bits }) => bits.length === 1024)).toBe(true);
    const last = layout.sizeBytes - 1;
    expect([...layout.contentRanges({ first: last - CLUSTER_BYTES, last })]).toEqual([
      { first: TIB - 512 * MIB + CLUSTER_BYTES - 1, last: TIB - 512 * MIB + CLUSTER_BYTES - 1 },
      { first: TIB - 256 * MIB, last: TIB - 256 * MIB + CLUSTER_BYTES - 1 },
    ]);
  });

  it("is refused where it is laid out otherwise than it was told", async () => {
    const before = sparse(MIB, [[0, SECTOR]]);
    const { digest } = await layoutOf(before);
    const range = { first: 0, last: 0 };
    const after = sparse(MIB, [[0, CLUSTER_BYTES + 1]]);
    await expect(readQcow2(after, digest, range)).rejects.toMatchObject({ code: "CONFLICT" });
    const longer = sparse(MIB + SECTOR, [[0, SECTOR]]);
    await expect(readQcow2(longer, digest, range)).rejects.toMatchObject({ code: "CONFLICT" });
    // what the content is does not count, and the order in which its pieces are found neither
    const pieces: [number, number][] = [
      [0, SECTOR],
      [MIB / 2, SECTOR],
    ];
    const one = await layoutOf(sparse(MIB, pieces));
    expect(await layoutOf(sparse(MIB, pieces.toReversed()))).toEqual(one);
  });

  it("does not pass for whole where the content ends early", async () => {
    const content = sparse(MIB, [[0, MIB]]);
    const short = {
      ...content,
      read: async function* () {
        yield content.bytes.subarray(0, MIB - 1);
      },
    };
    const { sizeBytes, digest } = await layoutOf(short);
    await expect(buffer(await readQcow2(short, digest, { first: 0, last: sizeBytes - 1 }))).rejects.toThrow("shorter");
  });
});
