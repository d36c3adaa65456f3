/** What holds room back in a pool, what works when it is full to the brim, and how it grows. Real file systems. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createFilePoolSpace } from "../../src/drivers/images/file-pool-space.ts";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import type { PoolSpace } from "../../src/drivers/images/pool-space.ts";
import { makePool } from "../../src/storaged/make-pool.ts";
import { LoopPools } from "./loop-pools.ts";
import { until } from "./until.ts";

const MIB = 1024 ** 2;
const signal = AbortSignal.timeout(170_000);
let pools: LoopPools;
let imports: string;

beforeAll(() => {
  pools = new LoopPools();
  imports = pools.plain("imports");
  writeFileSync(join(imports, "golden.raw"), Buffer.alloc(8 * MIB, "golden"));
});
afterAll(() => pools.remove());

/** Takes all the room of a file system, down to single blocks; answers the file. */
function fillUp(directory: string): string {
  const path = join(directory, "filler");
  const file = openSync(path, "a");
  let chunk = Buffer.alloc(16 * MIB, "fill");
  while (chunk.length >= 4096) {
    try {
      // what is only promised is no room taken: delayed allocation
      if (writeSync(file, chunk) === chunk.length) continue;
    } catch (error) {
      expect(error).toMatchObject({ code: "ENOSPC" });
    }
    chunk = chunk.subarray(0, chunk.length / 4);
  }
  try {
    fsyncSync(file);
  } catch (error) {
    expect(error).toMatchObject({ code: "ENOSPC" });
  }
  closeSync(file);
  return path;
}

describe.each(["xfs", "btrfs"] as const)("a full pool on %s", (filesystem) => {
  let directory: string;
  let store: ImageStore;
  let space: PoolSpace;
  const content = (kind: "image" | "disk", id: string) => readFileSync(join(directory, `${kind}s`, `${id}.raw`));

  beforeAll(async () => {
    directory = await pools.make(`full-${filesystem}`, filesystem);
    store = await openFileStore({ directory, importDirectories: [imports] });
    space = createFilePoolSpace(directory);
    const request = { image: "img-golden", path: join(imports, "golden.raw"), format: "raw" } as const;
    await store.import(request, () => {}, signal);
    for (const disk of ["disk-one", "disk-two"]) await store.clone("img-golden", disk, signal);
    for (const disk of ["disk-one", "disk-two"]) {
      writeFileSync(join(directory, "disks", `${disk}.raw`), Buffer.alloc(8 * MIB, disk));
    }
    await store.snapshot("disk-one", "img-snap", signal);
  });

  it("had 2 to 4 % of it held back, counted apart, and gives the ballast alone away", async () => {
    await space.keepBallast(signal);
    await space.keepBallast(signal);
    const { ballast, freeBytes, totalBytes } = await store.usage(signal);
    expect(ballast).toMatchObject({ bytes: Math.round(ballast.bytes / MIB) * MIB, isWhole: true });
    expect(ballast.releasableBytes).toBeLessThan(ballast.bytes);
    expect(ballast.bytes / totalBytes).toBeGreaterThan(0.02);
    expect(ballast.bytes / totalBytes).toBeLessThan(0.04);
    expect(await space.releaseBallast(signal)).toBeGreaterThanOrEqual(8 * MIB);
    expect(await space.releaseBallast(signal)).toBe(0);
    const after = await store.usage(signal);
    expect(after.ballast).toMatchObject({ releasableBytes: 0, isWhole: false });
    expect(after.ballast.bytes).toBeGreaterThan(0);
    // btrfs gives room back with its next transaction, and has its own idea of how much that is
    if (filesystem === "xfs") expect(after.freeBytes).toBeGreaterThan(freeBytes);
  });

  it("refuses clones and snapshots, and still reverts a disk, with a way back, and deletes", async () => {
    fillUp(directory);
    await expect(store.clone("img-golden", "disk-late", signal)).rejects.toMatchObject({ code: "POOL_FULL" });
    await expect(store.snapshot("disk-one", "img-late", signal)).rejects.toMatchObject({ code: "POOL_FULL" });

    await store.setAside("disk-one", "img-rescue", signal);
    await store.setAside("disk-one", "img-rescue", signal);
    await store.revert("disk-one", "img-golden", signal);
    expect(content("disk", "disk-one").equals(content("image", "img-golden"))).toBe(true);
    await store.revert("disk-one", "img-rescue", signal);
    expect(content("disk", "disk-one").equals(Buffer.alloc(8 * MIB, "disk-one"))).toBe(true);
    await store.remove("image", "img-rescue", signal);

    await store.remove("image", "img-snap", signal);
    await store.remove("disk", "disk-two", signal);
    expect((await store.list(signal)).map(({ id }) => id).sort()).toEqual(["disk-one", "img-golden"]);
  });

  it("can be opened by a storaged that starts just then", async () => {
    rmSync(join(directory, "reserve"), { force: true });
    fillUp(directory);
    const again = await openFileStore({ directory, importDirectories: [] });
    await again.remove("disk", "disk-one", signal);
    rmSync(join(directory, "filler"));
    execFileSync("sync", ["--file-system", directory]);
    await until("the room is back", async () => (await again.usage(signal)).freeBytes > 64 * MIB);
    await again.clone("img-golden", "disk-new", signal);
  });
});

describe("an import", () => {
  it("stops short of what running nodes need, also when it unpacks to more than it seemed", async () => {
    const directory = await pools.make("imports-only", "xfs");
    const store = await openFileStore({ directory, importDirectories: [imports], watermarks: { critical: 50 } });
    writeFileSync(join(imports, "bomb.raw"), Buffer.alloc(400 * MIB, "x"));
    const convert = ["convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", "bomb.raw", "bomb.qcow2"];
    execFileSync("qemu-img", convert, { cwd: imports });
    rmSync(join(imports, "bomb.raw"));
    const request = { image: "img-bomb", path: join(imports, "bomb.qcow2"), format: "qcow2" } as const;
    let least = Number.POSITIVE_INFINITY;
    const progress = () => {
      const { bavail, bsize } = statfsSync(directory);
      least = Math.min(least, bavail * bsize);
    };
    await expect(store.import(request, progress, signal)).rejects.toMatchObject({ code: "POOL_FULL" });
    const { totalBytes } = await store.usage(signal);
    expect(least).toBeGreaterThan(totalBytes * 0.3);
    await until("the room is back", async () => (await store.usage(signal)).freeBytes > totalBytes * 0.8);
  });
});

describe.each(["xfs", "btrfs"] as const)("a pool file of %s", (filesystem) => {
  let outer: string;
  let directory: string;
  let file: string;
  let space: PoolSpace;
  let store: ImageStore;
  let round = 0;

  beforeAll(async () => {
    outer = await pools.make(`outer-${filesystem}`, "xfs", 1536 * MIB);
  });
  beforeEach(async () => {
    const name = `grown-${filesystem}-${round++}`;
    directory = pools.plain(name);
    file = join(outer, `${name}.pool`);
    await makePool({ directory, file, sizeBytes: 320 * MIB, sparse: true, filesystem });
    space = createFilePoolSpace(directory);
    store = await openFileStore({ directory, importDirectories: [imports] });
  });
  afterEach(() => {
    execFileSync("umount", [directory]);
    rmSync(file);
  });

  const size = () => statSync(file).size / MIB;
  const allocated = () => (statSync(file).blocks * 512) / MIB;
  const allocate = (mib: number) => space.allocateFile(mib * MIB, () => {}, signal);

  it("gets its blocks, then more, while it is written to; each step may be done twice", async () => {
    const request = { image: "img-golden", path: join(imports, "golden.raw"), format: "raw" } as const;
    await store.import(request, () => {}, signal);
    expect(allocated()).toBeLessThan(320);
    const before = (await store.usage(signal)).totalBytes;
    await allocate(320);
    await space.growFilesystem(signal);
    expect([size(), allocated() >= 320]).toEqual([320, true]);
    expect((await store.usage(signal)).totalBytes).toBe(before);
    const told: number[] = [];
    await space.allocateFile(640 * MIB, (done, total) => told.push(done / total), signal);
    await allocate(640);
    expect(told.at(-1)).toBe(1);
    expect((await store.usage(signal)).totalBytes).toBe(before);
    for (let n = 0; n < 2; n++) await space.growFilesystem(signal);
    expect([size(), allocated() >= 640]).toEqual([640, true]);
    const { totalBytes, file: told2 } = await store.usage(signal);
    expect(totalBytes).toBeGreaterThan(before + 300 * MIB);
    expect(told2).toMatchObject({ path: file, sizeBytes: 640 * MIB });
    expect(readFileSync(join(directory, "images/img-golden.raw")).equals(Buffer.alloc(8 * MIB, "golden"))).toBe(true);
  });

  it("gives back what it was given, unless the file system may use it", async () => {
    await allocate(640);
    for (let n = 0; n < 2; n++) await space.trimFile(320 * MIB, signal);
    expect(size()).toBe(320);
    await allocate(640);
    await space.growFilesystem(signal);
    await space.trimFile(320 * MIB, signal);
    expect(size()).toBe(640);
    writeFileSync(join(directory, "probe"), Buffer.alloc(400 * MIB, "x"));
    expect(statSync(join(directory, "probe")).size).toBe(400 * MIB);
    rmSync(join(directory, "probe"));
  });

  it("never takes the last room of its disk, never shrinks, and says what would go", async () => {
    const error = await allocate(1536).catch((thrown) => thrown);
    expect(error).toMatchObject({
      code: "POOL_FULL",
      details: { remedy: expect.stringMatching(/grow to \d+M at most/) },
    });
    expect(size()).toBe(320);
    await expect(allocate(319)).rejects.toMatchObject({ code: "INVALID" });
    await allocate(Number(/grow to (\d+)M/.exec(error.details.remedy)?.[1]));
    const { bavail, bsize } = statfsSync(outer);
    expect(bavail * bsize).toBeGreaterThan(120 * MIB);
    await space.trimFile(320 * MIB, signal);
  });
});

it("a pool whose file was deleted says how to save it, takes nothing new, and still lets go", async () => {
  const directory = await pools.make("deleted", "xfs", 320 * MIB);
  const store = await openFileStore({ directory, importDirectories: [imports] });
  const request = { image: "img-golden", path: join(imports, "golden.raw"), format: "raw" } as const;
  await store.import(request, () => {}, signal);
  await store.clone("img-golden", "disk-one", signal);
  rmSync(`${directory}.pool`);
  const error = await store.usage(signal).catch((thrown) => thrown);
  expect(error).toMatchObject({ code: "DRIVER_FAILED", message: expect.stringContaining("was deleted") });
  const [, rescue] = /then: (.*)$/.exec(error.details.remedy)!;
  await expect(store.clone("img-golden", "disk-two", signal)).rejects.toMatchObject({ details: error.details });
  await store.remove("disk", "disk-one", signal);
  execFileSync("sh", ["-ec", rescue!]);
  const copy = pools.plain("saved");
  // the lost one may still be mounted in a namespace of some other test
  execFileSync("mount", ["-o", "loop,nouuid", `${directory}.pool`, copy]);
  expect(readFileSync(join(copy, "images/img-golden.raw")).equals(Buffer.alloc(8 * MIB, "golden"))).toBe(true);
});

it("a pool file on a disk that can't allocate ahead is left alone: writing its blocks would race with the pool", async () => {
  const image = join(pools.directory, "ext3.img");
  writeFileSync(image, "");
  truncateSync(image, 512 * MIB);
  execFileSync("mkfs.ext3", ["-q", image]);
  const outer = pools.plain("ext3");
  execFileSync("mount", ["-o", "loop", image, outer]);
  const directory = pools.plain("on-ext3");
  const file = join(outer, "pool");
  await makePool({ directory, file, sizeBytes: 300 * MIB, sparse: true });
  const { blocks } = statSync(file);
  await expect(createFilePoolSpace(directory).allocateFile(300 * MIB, () => {}, signal)).rejects.toMatchObject({
    code: "DRIVER_FAILED",
    details: { remedy: expect.stringContaining("XFS, ext4 or btrfs") },
  });
  expect(statSync(file).blocks).toBe(blocks);
});

it("a pool that is gone is a fault of the driver, not of ours", async () => {
  const directory = await pools.make("gone", "xfs", 320 * MIB);
  const store = await openFileStore({ directory, importDirectories: [imports] });
  execFileSync("umount", [directory]);
  rmSync(directory, { recursive: true });
  await expect(store.usage(signal)).rejects.toMatchObject({ code: "DRIVER_FAILED", details: { driver: "file" } });
});

it("a pool that is no loop mount can't grow from here, and its remedy can be run by hand", async () => {
  const error = await createFilePoolSpace("/")
    .growFilesystem(signal)
    .catch((thrown) => thrown);
  expect(error).toMatchObject({ code: "UNSUPPORTED", details: { remedy: expect.stringContaining("enlarge") } });
  expect(spawnSync("xfs_growfs", ["-V"]).status).toBe(0);
});
