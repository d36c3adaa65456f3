import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import { createLog } from "../../../src/log.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { growPool } from "../../../src/operations/grow-pool.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { PoolWatch } from "../../../src/operations/pool-watch.ts";
import { provision } from "../../../src/operations/provision.ts";
import { removeDisk } from "../../../src/operations/remove-disk.ts";
import { snapshotDisk } from "../../../src/operations/snapshot-disk.ts";
import { newNode, settled, World } from "./world.ts";

const project = "default";
const signal = AbortSignal.timeout(60_000);
let world: World;
let appliance: Appliance;
let said: string[];

beforeEach(async () => {
  world = new World();
  Object.assign(world.space, { fileBytes: 1000, filesystemBytes: 1000, usedBytes: 500 });
  appliance = await world.start();
  said = [];
  const log = createLog("info", { write: (line: string) => void said.push(JSON.parse(line).msg) });
  const { store, space, config, clock } = appliance;
  appliance = { ...appliance, pool: new PoolWatch({ store, space, config, clock, log }) };
});
afterEach(() => world.end());

/** What the watch finds at so many used bytes of 1,000, and what is then held back. */
async function at(usedBytes: number): Promise<[string, number]> {
  world.space.usedBytes = usedBytes;
  const { level } = await appliance.pool.look(signal);
  return [level, world.space.ballastBytes];
}

describe("the pool watch", () => {
  it("says once when a mark is passed, gives the ballast away at the last one, and makes it anew far below", async () => {
    const course: [used: number, level: string, ballast: number][] = [
      [500, "ok", 20],
      [799, "ok", 20],
      [800, "warn", 20],
      [899, "warn", 20],
      [900, "closed", 20],
      [949, "closed", 20],
      [950, "critical", 0],
      [1000, "critical", 0],
      [939, "closed", 0],
      [851, "warn", 0],
      [849, "warn", 20],
      [700, "ok", 20],
    ];
    for (const [used, level, ballast] of course) expect([used, await at(used)]).toEqual([used, [level, ballast]]);
    expect(said).toEqual([
      "pool fills up",
      "pool closed to new clones, imports and snapshots",
      "pool nearly full, disks of running nodes are about to fail",
      "ballast given to the disks of running nodes",
      "pool closed to new clones, imports and snapshots",
      "pool fills up",
      "pool has room",
    ]);
  });

  it("says nothing more of a pool that hovers at a mark, until it is 1 % below", async () => {
    for (let times = 0; times < 5; times++) {
      expect(await at(900)).toEqual(["closed", 0]);
      expect(await at(895)).toEqual(["warn", 0]);
    }
    expect([appliance.pool.level, said.length]).toEqual(["closed", 1]);
    await at(889);
    expect([appliance.pool.level, said.at(-1)]).toEqual(["warn", "pool fills up"]);
  });

  it("asks for no release where only the reserve is left, and answers what is held back after one", async () => {
    await at(500);
    const { space } = world;
    let releases = 0;
    const { releaseBallast } = space;
    space.releaseBallast = () => {
      releases += 1;
      return releaseBallast.call(space);
    };
    space.reserveBytes = 10;
    space.usedBytes = 960;
    expect((await appliance.pool.look(signal)).usage.ballast.bytes).toBe(10);
    await appliance.pool.look(signal);
    expect(releases).toBe(1);
  });

  it("answers how full the pool is although the ballast can't be made, and says so once", async () => {
    world.space.keepBallast = async () => {
      throw new Error("file system is read-only");
    };
    expect([await at(500), await at(500)]).toEqual([
      ["ok", 0],
      ["ok", 0],
    ]);
    expect(said).toEqual(["can't change the pool's ballast"]);
  });

  it("follows marks that were changed while it runs", async () => {
    expect(await at(700)).toEqual(["ok", 20]);
    const marks = appliance.config.pool.watermarks;
    const before = { ...marks };
    Object.assign(marks, { warn: 60, close: 65, critical: 99 });
    expect(await at(700)).toEqual(["closed", 20]);
    Object.assign(marks, before);
  });

  it("goes on when storaged is away for a while", async () => {
    const { usage } = world.images;
    world.images.usage = async () => {
      throw new Error("away");
    };
    appliance.pool.start();
    await expect.poll(() => appliance.pool.level).toBe("unknown");
    world.space.usedBytes = 960;
    world.images.usage = usage;
    await expect.poll(() => appliance.pool.level).toBe("critical");
    await appliance.pool.stop();
    expect(said[0]).toBe("can't look at the pool");
  });
});

describe("a closed pool", () => {
  const source = { project, path: "/import/golden.raw", format: "raw", phonesHome: true } as const;
  const begin = async (beginning: Promise<{ id: string }>) => appliance.runner.settled((await beginning).id);

  beforeEach(async () => {
    for (const n of [1, 2]) await appliance.nodes.add(newNode(`node-${n}`, n), "test");
    await begin(importImage(appliance, { ...source, name: "golden" }, "test"));
    for (const n of [1, 2]) await begin(provision(appliance, { node: `node-${n}`, image: "golden" }, "test"));
    world.space.things = ["node-1-1", "node-2-1"].map((name, index) => ({
      kind: "disk",
      id: appliance.disks.get(project, name).id,
      sizeBytes: 8 * 1024 ** 3,
      usedBytes: (4 - index) * 1024 ** 3,
    }));
    await at(900);
  });

  it("takes no clone, import or snapshot, and names the largest disks", async () => {
    await appliance.nodes.add(newNode("node-3", 3), "test");
    const refused = { code: "POOL_FULL", details: { usedPercent: 90, largestDisks: expect.any(Array) } };
    const attempts = [
      () => provision(appliance, { node: "node-3", image: "golden" }, "test"),
      () => importImage(appliance, { ...source, name: "another" }, "test"),
      () => snapshotDisk(appliance, { project, disk: "node-1-1", image: "snap" }, "test"),
    ];
    for (const attempt of attempts) await expect(attempt()).rejects.toMatchObject(refused);
    const error = await attempts[0]!().catch((thrown) => thrown);
    expect(error.details.largestDisks).toEqual(["node-1-1 with 4.0 GiB", "node-2-1 with 3.0 GiB"]);
    expect(error.details.operatorRemedy).toMatch(/release a node .*node-1-1 with 4\.0 GiB.*ingot pool grow/);
    expect(appliance.images.list().map(({ name }) => name)).toEqual(["golden"]);
    expect(appliance.disks.list()).toHaveLength(2);
  });

  it("is looked at once more before anything is begun where it could not be seen", async () => {
    const { usage } = world.images;
    world.images.usage = async () => {
      throw new ApplianceError("UNAVAILABLE", "away");
    };
    appliance.pool.start();
    await expect.poll(() => appliance.pool.level).toBe("unknown");
    await appliance.pool.stop();
    const snapshot = () => snapshotDisk(appliance, { project, disk: "node-1-1", image: "snap" }, "test");
    await expect(snapshot()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    world.images.usage = usage;
    await expect(snapshot()).rejects.toMatchObject({ code: "POOL_FULL" });
  });

  it("says which disk is on no node, and opens as soon as there is room", async () => {
    const released = { node: "node-2", disk: "keep", now: true } as const;
    expect(await begin(deprovision(appliance, released, "test"))).toMatchObject({ state: "done" });
    const snapshot = () => snapshotDisk(appliance, { project, disk: "node-1-1", image: "snap" }, "test");
    await expect(snapshot()).rejects.toMatchObject({
      details: {
        operatorRemedy: expect.stringContaining("node-2-1 with 3.0 GiB is on no node: ingot disk rm node-2-1"),
      },
    });
    expect(await begin(removeDisk(appliance, { project, disk: "node-2-1" }, "test"))).toMatchObject({ state: "done" });
    world.space.usedBytes = 700;
    expect(await settled(appliance, await snapshot())).toMatchObject({ state: "done" });
  });

  it("opens when the pool has grown, which happens one at a time and never backwards", async () => {
    const growing = await growPool(appliance, { sizeBytes: 2000 }, "test");
    await expect(growPool(appliance, { addedBytes: 1 }, "test")).rejects.toMatchObject({ code: "BUSY" });
    expect(await settled(appliance, growing)).toMatchObject({ state: "done", summary: "grow pool to 0.0 GiB" });
    expect(world.space).toMatchObject({ fileBytes: 2000, filesystemBytes: 2000 });
    await expect(growPool(appliance, { sizeBytes: 1999 }, "test")).rejects.toMatchObject({ code: "INVALID" });
    const snapshot = await snapshotDisk(appliance, { project, disk: "node-1-1", image: "snap" }, "test");
    expect(await settled(appliance, snapshot)).toMatchObject({ state: "done" });
  });

  it("gives back what it had got of its disk when that had too little", async () => {
    world.space.allocateFile = async () => {
      world.space.fileBytes = 1400;
      throw new ApplianceError("POOL_FULL", "the disk below is full");
    };
    const growing = await growPool(appliance, { sizeBytes: 2000 }, "test");
    expect(await settled(appliance, growing)).toMatchObject({ state: "undone", error: { code: "POOL_FULL" } });
    expect(world.space).toMatchObject({ fileBytes: 1000, filesystemBytes: 1000 });
  });

  it("never goes back once its file system may have grown", async () => {
    const { growFilesystem } = world.space;
    world.space.growFilesystem = async () => {
      throw new ApplianceError("DRIVER_FAILED", "xfs_growfs was killed");
    };
    const growing = await growPool(appliance, { sizeBytes: 2000 }, "test");
    expect(await settled(appliance, growing)).toMatchObject({ state: "stuck" });
    expect(world.space.fileBytes).toBe(2000);
    world.space.growFilesystem = growFilesystem;
    await appliance.runner.retry(growing.id);
    expect(await settled(appliance, growing)).toMatchObject({ state: "done" });
    expect(world.space.filesystemBytes).toBe(2000);
  });

  it("is told apart from one on a device of its own, which grows by hand", async () => {
    const usage = world.space.usage();
    world.images.usage = async () => {
      const { file: _, ...rest } = usage;
      return { ...rest, filesystem: "btrfs" };
    };
    await expect(growPool(appliance, { addedBytes: 1 }, "test")).rejects.toMatchObject({
      code: "UNSUPPORTED",
      details: { remedy: expect.stringContaining("btrfs filesystem resize max /var/lib/ingot-pool") },
    });
  });
});
