/**
 * Limits of a disk in Ceph, as its node sees them: reads at depth 64 through the tgtd that serves it. What is measured is
 * that they do not go faster, which a loaded machine does not change; and that they do once the limit is gone.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { shutOutFormer } from "../../src/drivers/images/rbd/shut-out-former.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { Initiator } from "../lab/iscsi/initiator.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";
import { startLoopbackTgtd } from "./loopback-tgtd.ts";

const STATE = "/var/tmp/ingot-rbd-limits";
const CONTROL = 483;
const PORT = 24_983;
const DEPTH = 64;
const DISK = "disk-limited";
const BYTES = 16 * 1024 ** 2;
const BLOCK_BYTES = 512;

const signal = AbortSignal.timeout(300_000);
let store: ImageStore;
let rbd: ReturnType<typeof createLibrbdPool>;
let node: Initiator;

beforeAll(async () => {
  await destroyEverything(STATE);
  await runProgram("mkdir", ["-p", STATE]);
  const { conf, user, pool } = await createCephCluster(loopbackHost(STATE), { port: 28_900 });
  const access = { conf, user, pool };
  rbd = createLibrbdPool(access);
  store = openRbdStore({ pool: rbd, access, importDirectories: [STATE], spoolDirectory: join(STATE, "spool") });
  const path = join(STATE, "golden.raw");
  await writeFile(path, Buffer.alloc(BYTES, "golden image;"));
  await store.import({ image: "img-golden", path, format: "raw" }, () => {}, signal);
  await store.clone("img-golden", DISK, signal);
  const targets = createTgtServer({ beforeOpening: shutOutFormer(rbd, access) });
  await startLoopbackTgtd(STATE, { control: CONTROL, loopbackPort: PORT }, targets, signal);
  const iqn = targetIqn("app-test", DISK);
  const chap = { user: `${DISK}-1`, secret: "correct-horse-1" };
  const units = [{ lun: 1, disk: DISK, backing: await store.backing(DISK), readOnly: false }];
  await targets.ensureTarget(CONTROL, { iqn, units, openTo: "127.0.0.1" as Ipv4, chap }, signal);
  node = await Initiator.logIn({ address: "127.0.0.1", port: PORT, iqn, ...chap });
});
afterAll(async () => {
  node?.cut();
  rbd?.close();
  await destroyEverything(STATE);
});

/** Seconds that so many reads of so many bytes take, 64 at a time. */
async function secondsOf(reads: number, bytes: number): Promise<number> {
  const began = performance.now();
  const blocks = bytes / BLOCK_BYTES;
  let left = reads;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await node.read((left % (BYTES / bytes)) * blocks, blocks);
    }
  };
  await Promise.all(Array.from({ length: DEPTH }, lane));
  return (performance.now() - began) / 1000;
}

/** The same at a limit of so many in a second: what a second gives may have been saved up, and is given once more. */
const leastSeconds = (count: number, perSecond: number) => count / perSecond - 2;

it("holds a served disk to its reads a second, at once when the limit changes and when it goes", async () => {
  const [reads, limit] = [1200, 200];
  const free = await secondsOf(reads, 4096);
  await store.limit(DISK, { iops: limit }, signal);
  const held = await secondsOf(reads, 4096);
  expect(held).toBeGreaterThan(leastSeconds(reads, limit));
  await store.limit(DISK, { iops: limit / 2 }, signal);
  const halved = await secondsOf(reads / 2, 4096);
  expect(halved).toBeGreaterThan(leastSeconds(reads / 2, limit / 2));
  // changed under way
  const slow = secondsOf(reads, 4096);
  await store.limit(DISK, {}, signal);
  const freed = await slow;
  expect(freed).toBeLessThan(leastSeconds(reads, limit / 2));
  console.log({ reads, limit, free, held, halved, freed });
});

it("holds it to its bytes a second", async () => {
  const [reads, bytes, limit] = [320, 64 * 1024, 4 * 1024 ** 2];
  const free = await secondsOf(reads, bytes);
  await store.limit(DISK, { bytesPerSecond: limit }, signal);
  const held = await secondsOf(reads, bytes);
  expect(held).toBeGreaterThan(leastSeconds(reads * bytes, limit));
  await store.limit(DISK, {}, signal);
  const freed = await secondsOf(reads, bytes);
  expect(freed).toBeLessThan(leastSeconds(reads * bytes, limit));
  console.log({ reads, bytes, limit, free, held, freed });
});
