/**
 * A node writes while the pool fills up, and then the disk that holds the pool's file and ingotd's state. What was
 * acknowledged is there afterwards, what was not is an error, and the rest of the appliance goes on.
 */
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, statfsSync, truncateSync } from "node:fs";
import { chown, copyFile, mkdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Image, Lease, Pool, Status } from "../../src/cli/answers.ts";
import { mountedAt } from "../../src/drivers/images/mounts.ts";
import { makePool } from "../../src/storaged/make-pool.ts";
import { NOBODY } from "../lab/as-nobody.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runOnNode } from "../lab/node-shell.ts";
import { runProgram } from "../lab/program.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";
import { Stranger } from "./stranger.ts";

const STATE = "/var/tmp/ingot-e2e-pool-full";
/** Holds the pool's file and ingotd's state. */
const DISK = join(STATE, "disk");
const POOL = join(STATE, "pool");
const MIB = 1024 ** 2;
const POOL_MIB = 512;
/** Larger than its partitions: the node writes behind them. */
const IMAGE_MIB = 160;
const GROWTH_MIB = 288;
const BOOT_SECONDS = 120;

let rack: Rack;
let node: RackNode;
let stranger: Stranger;

beforeAll(async () => {
  await wipe();
  const image = await buildTinyImage({ tag: "full" });
  rack = await createRack({
    stateDirectory: STATE,
    name: "pofull",
    control: 502,
    poolFile: makeDisk,
    config: {
      stateDirectory: join(DISK, "state"),
      operations: { loginSeconds: BOOT_SECONDS, readySeconds: 60, bmcSeconds: 20 },
    },
  });
  const large = join(STATE, "large.raw");
  await copyFile(image, large);
  await truncate(large, IMAGE_MIB * MIB);
  await rack.importImage("tiny", large);
  node = await rack.addNode({ name: "node-1", firmware: "bios" });
  await rack.addNode({ name: "node-2", firmware: "bios" });
  stranger = new Stranger(rack.network, node.network);
  await stranger.connect();
  try {
    await rack.ingot("provision", node.name, "--image", "tiny");
    await rack.ingot("disk", "snapshot", "node-1-1", "--as", "snap");
    await runOnNode(node, WRITER);
  } catch (error) {
    console.log(await bootStory(rack, node));
    throw error;
  }
}, 240_000);

afterAll(wipe);

/** Lazily: namespaces of other labs may hold copies of the mounts. */
async function wipe(): Promise<void> {
  await destroyEverything(STATE).catch(() => {});
  for (const directory of [POOL, DISK]) {
    if (existsSync(directory) && (await mountedAt(directory))) execFileSync("umount", ["--lazy", directory]);
  }
  await destroyEverything(STATE);
}

async function makeDisk(): Promise<string> {
  await makePool({ directory: DISK, file: join(STATE, "disk.img"), sizeBytes: 1536 * MIB, sparse: true });
  await runProgram("chmod", ["0755", DISK]);
  await mkdir(join(DISK, "state"), { mode: 0o700 });
  await chown(join(DISK, "state"), NOBODY, NOBODY);
  const file = join(DISK, "pool.xfs");
  await runProgram("fallocate", ["-l", `${POOL_MIB}M`, file]);
  await runProgram("mkfs.xfs", ["-q", file]);
  return file;
}

/** `writes FIRST LAST`: one 64 KiB chunk after the other, each forced to the disk; notes the checksums of those that were. */
const WRITER = [
  "writes() { n=$1; while [ $n -le $2 ]; do dd if=/dev/urandom of=/tmp/c bs=64k count=1 2>/dev/null;",
  "if dd if=/tmp/c of=/dev/sda bs=64k seek=$((n+1100)) conv=notrunc,fsync 2>/dev/null;",
  'then echo "$n $(md5sum </tmp/c)" >>/tmp/good; else echo "$n" >>/tmp/bad; fi; n=$((n+1)); done; };',
  // from the disk, not from memory
  "lost() { echo 3 >/proc/sys/vm/drop_caches; while read n sum _; do",
  '[ "$(dd if=/dev/sda bs=64k skip=$((n+1100)) count=1 2>/dev/null | md5sum)" = "$sum  -" ] || echo "lost $n"; done </tmp/good; };',
  "touch /tmp/good /tmp/bad",
].join(" ");

async function write(first: number, last: number): Promise<{ good: number; bad: number }> {
  const said = await runOnNode(node, `writes ${first} ${last}; wc -l </tmp/good; wc -l </tmp/bad`, 120_000);
  const [good, bad] = said.trim().split(/\s+/).slice(-2).map(Number) as [number, number];
  return { good, bad };
}

/** The acknowledged chunks that are not there. */
const lost = async () => (await runOnNode(node, "lost", 60_000)).split("\n").filter((line) => line.startsWith("lost"));

function fill(directory: string, leaveMib: number): () => void {
  const filler = join(directory, `filler-${leaveMib}`);
  const { bavail, bsize } = statfsSync(directory);
  execFileSync("fallocate", ["-l", String(bavail * bsize - leaveMib * MIB), filler]);
  return () => {
    truncateSync(filler, 0);
    rmSync(filler);
  };
}

const showPool = () => rack.ingotJson<Pool>("pool", "show");
const ingotFails = (...args: string[]) =>
  rack.ingot(...args).then(
    () => "",
    (error) => String(error),
  );

it("closes in time, and says who takes up the room", { timeout: 60_000 }, async () => {
  expect((await showPool()).level).toBe("ok");
  await expect.poll(async () => (await showPool()).ballastBytes / MIB, { timeout: 15_000 }).toBe(12);
  expect(await write(0, 7)).toEqual({ good: 8, bad: 0 });

  fill(POOL, 24);
  expect(await showPool()).toMatchObject({ level: "closed" });
  const refused = await ingotFails("provision", "node-2", "--image", "tiny");
  expect(refused).toMatch(/pool: 9\d % full, takes no new clones/);
  expect(refused).toMatch(
    /remedy: release a node with its disk \(largest: node-1-1 with 0\.\d GiB\).*ingot pool grow/s,
  );
  expect(await ingotFails("disk", "snapshot", "node-1-1", "--as", "late")).toMatch(/takes no new clones/);

  fill(POOL, 6);
  await expect.poll(async () => (await showPool()).ballastBytes / MIB, { timeout: 15_000 }).toBe(4);
  const { pool } = await rack.ingotJson<Status>("status");
  expect(pool).toMatchObject({ level: "critical" });
  expect(await rack.ingot("pool", "show")).toMatch(
    /^level: +critical: .*\n(.*\n)+LARGEST .*\nnode-1-1 +disk +node-1 /m,
  );
  expect(await ingotFails("doctor")).toMatch(/of \d+ findings failed/);
});

it("fails the node's writes where there is no room, and loses none that it took", { timeout: 180_000 }, async () => {
  fill(POOL, 2);
  const { good, bad } = await write(8, 107);
  console.log(`full pool: ${good} chunks acknowledged, ${bad} refused`);
  expect(good).toBeGreaterThan(16);
  expect(bad).toBeGreaterThan(16);
  expect(await lost()).toEqual([]);
});

it("still takes power calls, gives leases, and deletes snapshots", { timeout: 60_000 }, async () => {
  expect(await rack.ingot("node", "power", node.name)).toBe("on\n");
  expect(await stranger.askAddress("52:54:00:77:99:01", "10.77.0.150")).toBe("10.77.0.150");
  await rack.ingot("image", "rm", "snap", "--yes");
  expect((await rack.ingotJson<Image[]>("image", "list")).map(({ name }) => name)).toEqual(["tiny"]);
  // and when storaged starts just then
  await rack.end("storaged", "SIGKILL");
  await rack.startStoraged();
  expect(["closed", "critical"]).toContain((await showPool()).level);
});

it("goes on when the disk below is full too: leases, and the node's writes once others made room", {
  timeout: 180_000,
}, async () => {
  const giveBack = fill(DISK, 0.0625);
  try {
    expect(await ingotFails("pool", "grow", "+128M")).toMatch(/no room for a larger one.*remedy: free space/s);
    expect(await stranger.askAddress("52:54:00:77:99:02", "10.77.0.151")).toBe("10.77.0.151");
    for (const leave of [24, 6, 2]) rmSync(join(POOL, `filler-${leave}`));
    expect((await rack.ingotJson<Lease[]>("lease", "list")).map(({ address }) => address)).toContain("10.77.0.151");
    const before = await write(0, -1);
    // 24 MiB into a pool whose file has all of its blocks
    expect(await write(200, 583)).toEqual({ good: before.good + 384, bad: before.bad });
    expect(await lost()).toEqual([]);
  } finally {
    giveBack();
  }
});

it("grows under the running node, and opens again", { timeout: 180_000 }, async () => {
  const full = fill(POOL, 20);
  // the watch looks every 10 s while there is room
  await expect.poll(async () => (await showPool()).level, { timeout: 15_000 }).not.toBe("ok");
  expect(await ingotFails("disk", "snapshot", "node-1-1", "--as", "late")).toMatch(/takes no new clones/);
  expect(await rack.ingot("pool", "grow", `+${GROWTH_MIB}M`)).toMatch(/^grow pool to 0\.8 GiB: done in/);
  expect(await showPool()).toMatchObject({ level: "ok", file: { sizeBytes: (POOL_MIB + GROWTH_MIB) * MIB } });
  await rack.ingot("disk", "snapshot", "node-1-1", "--as", "late");
  const before = await write(0, -1);
  expect(await write(600, 615)).toEqual({ good: before.good + 16, bad: before.bad });
  expect(await lost()).toEqual([]);
  full();
});
