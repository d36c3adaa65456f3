/**
 * What is left of a pool after the machine that holds it lost its power: its file system lies on a disk that drops
 * whatever was not flushed, and tgtd and the disk are killed at once. The initiator lives on, and knows what was
 * acknowledged to it.
 */
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import type { TargetSpec } from "../../src/drivers/targets/target-server.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { sharedExtents } from "../../src/net/file-extents.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { createDroppingDisk, type DroppingDisk } from "../lab/dropping-disk.ts";
import { BLOCK_BYTES, BlockWriter } from "../lab/iscsi/block-writer.ts";
import { serveCached } from "../lab/iscsi/cached-target.ts";
import { Initiator } from "../lab/iscsi/initiator.ts";
import { destroyEverything, endProcess, killProcess } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";
import { startLoopbackTgtd } from "./loopback-tgtd.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-durability";
const POOL = join(STATE, "pool");
const IMPORTS = join(STATE, "import");
const CONTROL = 481;
const PORT = 24_981;
const POOL_BYTES = 512 * 1024 ** 2;
const DISK_BLOCKS = 2048;
const LANES = 8;
const ENOUGH = 300;

const signal = AbortSignal.timeout(600_000);
const targets = createTgtServer();
let disk: DroppingDisk;
let filesystem: (typeof FILESYSTEMS)["xfs" | "btrfs"];
let store: ImageStore;

beforeAll(async () => {
  await destroyEverything(STATE);
  await runProgram("mkdir", ["-p", POOL, IMPORTS]);
  await writeFile(join(IMPORTS, "golden.raw"), Buffer.alloc(DISK_BLOCKS * BLOCK_BYTES, "golden image;"));
});
afterEach(() => endProcess(STATE, "tgtd"));
afterAll(() => destroyEverything(STATE));

/** XFS mounts no second file system of one UUID, and others' mount namespaces may hold copies of the mount that a crash ended. */
const FILESYSTEMS = {
  xfs: { make: ["mkfs.xfs", "-q", "-m", "reflink=1"], options: "loop,nouuid" },
  btrfs: { make: ["mkfs.btrfs", "-q"], options: "loop" },
};

/** A new pool with a golden image in it. */
async function newPool(name: keyof typeof FILESYSTEMS): Promise<void> {
  disk = await createDroppingDisk(STATE, `disk-${name}`, POOL_BYTES);
  filesystem = FILESYSTEMS[name];
  const [program, ...args] = filesystem.make;
  await runProgram(program!, [...args, disk.path]);
  await mount();
  await store.import({ image: "golden", path: join(IMPORTS, "golden.raw"), format: "raw" }, () => {}, signal);
}

async function mount(): Promise<void> {
  await runProgram("mount", ["-o", filesystem.options, disk.path, POOL]);
  store = await openFileStore({ directory: POOL, importDirectories: [IMPORTS] });
}

/** The machine that holds the pool loses its power, and comes back. */
async function crash(): Promise<void> {
  await killProcess(STATE, "tgtd");
  await disk.powerOff();
  await endProcess(STATE, "tgtd");
  await runProgram("umount", ["-d", POOL]);
  await disk.powerOn();
  await mount();
}

const startTgtd = () => startLoopbackTgtd(STATE, { control: CONTROL, loopbackPort: PORT }, targets, signal);

/** Serves a disk to this process. */
async function serve(id: string): Promise<TargetSpec> {
  const target: TargetSpec = {
    iqn: targetIqn("app-test", id),
    units: [{ lun: 1, disk: id, backing: await store.backing(id), readOnly: false }],
    openTo: "127.0.0.1" as Ipv4,
    chap: { user: `${id}-1`, secret: "correct-horse-1" },
  };
  await startTgtd();
  await targets.ensureTarget(CONTROL, target, signal);
  return target;
}

function logIn({ iqn, chap }: Pick<TargetSpec, "iqn"> & Partial<TargetSpec>): Promise<Initiator> {
  return Initiator.logIn({ address: "127.0.0.1", port: PORT, iqn, ...chap });
}

/** Writes until enough is acknowledged, and on until the session is cut or ends. */
async function write(initiator: Initiator, writer: BlockWriter, changes = ENOUGH): Promise<void> {
  const enough = writer.acknowledgements + changes;
  const writing = writer.run(initiator, DISK_BLOCKS, LANES);
  await Promise.race([until("enough writes", () => writer.acknowledgements >= enough, 60_000), writing]);
  expect(writer.acknowledgements).toBeGreaterThanOrEqual(enough);
}

/** For this disk, which is a new clone of the golden image. */
async function newWriter(id: string): Promise<BlockWriter> {
  await store.clone("golden", id, signal);
  return new BlockWriter({ unmap: (await store.backing(id)).unmap ?? false });
}

function blocksMissing(writer: BlockWriter, kind: "disks" | "images", id: string): Promise<number[]> {
  return writer.missingInFile(join(POOL, kind, `${id}.raw`));
}

describe.each(["xfs", "btrfs"] as const)("when the machine of a pool on %s loses its power", (name) => {
  beforeAll(() => newPool(name));
  afterAll(async () => {
    await runProgram("umount", ["-d", POOL]);
    await disk.powerOff();
  });

  it("no block that was acknowledged to a node is missing, however often it happens", async () => {
    const writer = await newWriter("disk-1");
    for (let round = 0; round < 3; round++) {
      await write(await logIn(await serve("disk-1")), writer);
      await crash();
      expect(await blocksMissing(writer, "disks", "disk-1"), `round ${round}`).toEqual([]);
    }
  });

  it("no block is missing when tgtd is killed twenty times", async () => {
    const writer = await newWriter("disk-tgtd");
    for (let kills = 0; kills < 20; kills++) {
      const initiator = await logIn(await serve("disk-tgtd"));
      await write(initiator, writer, 50);
      await killProcess(STATE, "tgtd");
      await endProcess(STATE, "tgtd");
    }
    expect(await blocksMissing(writer, "disks", "disk-tgtd")).toEqual([]);
  });

  it("the last change is there, in whatever way it was made", async () => {
    const writer = await newWriter("disk-last");
    for (const [block, way] of writer.ways.entries()) {
      const initiator = await logIn(await serve("disk-last"));
      await writer.change(initiator, block, "write");
      await writer.change(initiator, block, way);
      await crash();
      expect(await blocksMissing(writer, "disks", "disk-last"), way).toEqual([]);
    }
  });

  it("what a snapshot, a clone of it, and a revert were done with is there", async () => {
    const first = await newWriter("disk-2");
    const initiator = await logIn(await serve("disk-2"));
    await write(initiator, first);
    initiator.cut();
    await store.snapshot("disk-2", "snapshot-2", signal);
    await crash();
    expect(await blocksMissing(first, "images", "snapshot-2")).toEqual([]);

    await store.clone("snapshot-2", "disk-3", signal);
    await crash();
    expect(await blocksMissing(first, "disks", "disk-3")).toEqual([]);

    const second = await newWriter("disk-2");
    const target = await serve("disk-2");
    await write(await logIn(target), second);
    await targets.removeTarget(CONTROL, target.iqn, signal);
    await store.revert("disk-2", "snapshot-2", signal);
    await crash();
    expect(await blocksMissing(first, "disks", "disk-2")).toEqual([]);
    expect(await blocksMissing(second, "disks", "disk-2")).not.toEqual([]);
  });

  it("a disk that is flattened under a node's writes loses none of them", async () => {
    const writer = await newWriter("disk-flat");
    const initiator = await logIn(await serve("disk-flat"));
    await write(initiator, writer);
    const before = writer.acknowledgements;
    const flattening = store.flatten({ kind: "disk", id: "disk-flat", served: true }, () => {}, signal);
    if (name === "btrfs") {
      await expect(flattening).rejects.toMatchObject({ code: "UNSUPPORTED" });
      initiator.cut();
      return;
    }
    await flattening;
    await until("writes go on", () => writer.acknowledgements > before + ENOUGH, 60_000);
    await crash();
    expect(await blocksMissing(writer, "disks", "disk-flat")).toEqual([]);
    const file = await open(join(POOL, "disks/disk-flat.raw"), "r");
    expect(await sharedExtents(file).finally(() => file.close())).toEqual([]);
  });

  it("what an import was done with is there, and what was removed is not", async () => {
    const content = Buffer.alloc(4 * 1024 ** 2, "another image;");
    await writeFile(join(IMPORTS, "other.raw"), content);
    await store.clone("golden", "disk-4", signal);
    await store.import({ image: "other", path: join(IMPORTS, "other.raw"), format: "raw" }, () => {}, signal);
    await crash();
    expect((await readFile(join(POOL, "images/other.raw"))).equals(content)).toBe(true);

    await store.remove("disk", "disk-4", signal);
    await crash();
    expect(await store.stat("disk", "disk-4", signal)).toBeUndefined();
  });

  it("blocks are missing where tgtd acknowledges from memory: so these tests can fail", async () => {
    const writer = await newWriter("disk-5");
    const { path } = await store.backing("disk-5");
    const iqn = targetIqn("app-test", "disk-5");
    await startTgtd();
    await serveCached(CONTROL, iqn, path, signal);
    const initiator = await logIn({ iqn });
    // FUA would flush all of the file
    for (let block = 0; block < ENOUGH; block++) await writer.change(initiator, block, "write");
    await crash();
    expect(await blocksMissing(writer, "disks", "disk-5")).not.toEqual([]);
  });
});
