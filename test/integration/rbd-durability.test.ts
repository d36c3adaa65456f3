/**
 * What an RBD disk holds after its tgtd was killed in the middle of writing: everything that was acknowledged. The
 * initiator lives on, and knows what that was.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { shutOutFormer } from "../../src/drivers/images/rbd/shut-out-former.ts";
import type { TargetServer } from "../../src/drivers/targets/target-server.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { type CephCluster, createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { BLOCK_BYTES, BlockWriter } from "../lab/iscsi/block-writer.ts";
import { Initiator } from "../lab/iscsi/initiator.ts";
import { destroyEverything, endProcess, killProcess } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";
import { startLoopbackTgtd } from "./loopback-tgtd.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-rbd-durability";
const CONTROL = 482;
const PORT = 24_982;
const BLOCKS = 1024;
const LANES = 8;
const KILLS = 5;

const signal = AbortSignal.timeout(600_000);
let targets: TargetServer;
let cluster: CephCluster;
let store: ImageStore;
let rbd: ReturnType<typeof createLibrbdPool>;

beforeAll(async () => {
  await destroyEverything(STATE);
  await runProgram("mkdir", ["-p", STATE]);
  cluster = await createCephCluster(loopbackHost(STATE), { port: 28_600 });
  const { conf, user, pool } = cluster;
  const access = { conf, user, pool };
  rbd = createLibrbdPool(access);
  targets = createTgtServer({ beforeOpening: shutOutFormer(rbd, access) });
  store = openRbdStore({ pool: rbd, access, importDirectories: [STATE], spoolDirectory: join(STATE, "spool") });
  const path = join(STATE, "golden.raw");
  await writeFile(path, Buffer.alloc(BLOCKS * BLOCK_BYTES, "golden image;"));
  await store.import({ image: "img-golden", path, format: "raw" }, () => {}, signal);
});
afterEach(() => endProcess(STATE, "tgtd"));
afterAll(async () => {
  rbd?.close();
  await destroyEverything(STATE);
});

/** A new tgtd that serves the disk, and a session with it. */
async function serve(disk: string): Promise<Initiator> {
  await startLoopbackTgtd(STATE, { control: CONTROL, loopbackPort: PORT }, targets, signal);
  const iqn = targetIqn("app-test", disk);
  const chap = { user: `${disk}-1`, secret: "correct-horse-1" };
  const backing = await store.backing(disk);
  const units = [{ lun: 1, disk, backing, readOnly: false }];
  await targets.ensureTarget(CONTROL, { iqn, units, openTo: "127.0.0.1" as Ipv4, chap }, signal);
  return Initiator.logIn({ address: "127.0.0.1", port: PORT, iqn, ...chap });
}

async function killUnderWrites(disk: string, writer: BlockWriter): Promise<void> {
  const initiator = await serve(disk);
  const enough = writer.acknowledgements + 100;
  const writing = writer.run(initiator, BLOCKS, LANES);
  await Promise.race([until("enough writes", () => writer.acknowledgements >= enough, 60_000), writing]);
  expect(writer.acknowledgements).toBeGreaterThanOrEqual(enough);
  await killProcess(STATE, "tgtd");
  await endProcess(STATE, "tgtd");
  await writing;
}

async function blocksMissing(writer: BlockWriter, disk: string): Promise<number[]> {
  const path = join(STATE, "exported");
  await rm(path, { force: true });
  await cluster.rbd("export", "--no-progress", `${cluster.pool}/${disk}`, path);
  return writer.missingInFile(path);
}

it.each([
  ["a clone", "img-golden", "disk-clone"],
  ["a clone of a snapshot", "img-snapshot", "disk-of-snapshot"],
])("no block that was acknowledged to %s is missing, however often tgtd is killed", async (_, image, disk) => {
  if (image === "img-snapshot") {
    const initiator = await serve("disk-clone");
    await store.snapshot("disk-clone", image, signal);
    initiator.cut();
    await endProcess(STATE, "tgtd");
  }
  await store.clone(image, disk, signal);
  const writer = new BlockWriter({ unmap: false });
  for (let kills = 0; kills < KILLS; kills++) await killUnderWrites(disk, writer);
  expect(await blocksMissing(writer, disk)).toEqual([]);
});

it("a disk that is flattened under a node's writes loses none of them", async () => {
  await store.clone("img-golden", "disk-flat", signal);
  const writer = new BlockWriter({ unmap: false });
  const initiator = await serve("disk-flat");
  const writing = writer.run(initiator, BLOCKS, LANES);
  await until("writes", () => writer.acknowledgements >= 100, 60_000);
  const steps: number[] = [];
  await store.flatten({ kind: "disk", id: "disk-flat", served: true }, (done) => steps.push(done), signal);
  const then = writer.acknowledgements;
  await until("writes go on", () => writer.acknowledgements > then + 100, 60_000);
  await killProcess(STATE, "tgtd");
  await endProcess(STATE, "tgtd");
  await writing;
  expect(await rbd.hasParent("disk-flat", signal)).toBe(false);
  expect(await blocksMissing(writer, "disk-flat")).toEqual([]);
});

it("blocks are missing where librbd's cache acknowledges them: so these tests can fail", async () => {
  await store.clone("img-golden", "disk-cached", signal);
  const set = (key: string, value: string) =>
    cluster.rbd("image-meta", "set", `${cluster.pool}/disk-cached`, `conf_rbd_${key}`, value);
  await set("cache", "true");
  await set("cache_policy", "writeback");
  await set("cache_writethrough_until_flush", "false");
  const writer = new BlockWriter({ unmap: false });
  await killUnderWrites("disk-cached", writer);
  expect(await blocksMissing(writer, "disk-cached")).not.toEqual([]);
});
