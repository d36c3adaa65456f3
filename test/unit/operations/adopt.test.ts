import { afterEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import { adopt } from "../../../src/operations/adopt.ts";
import { type AdoptionChoice, compareWithPool } from "../../../src/operations/adoption.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { removeDisk } from "../../../src/operations/remove-disk.ts";
import type { Journal } from "../../../src/store/journal.ts";
import { journalWithAppend } from "../../fakes/journal-with-append.ts";
import { newNode, settled, World } from "./world.ts";

const project = "default";
const signal = new AbortController().signal;
const OLD = "app-old";
const FROM_OLD = { from: [OLD], undescribed: [], project };
const NOTHING = { from: [], undescribed: [], project };

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.end();
});

function newWorld(id: string, pool?: World): World {
  const world = new World();
  const { images, catalogue, targets, poolLeases, space } = pool ?? world;
  Object.assign(world, { id, images, catalogue, targets, poolLeases, space });
  worlds.push(world);
  return world;
}

/** A pool whose appliance is gone: an image, the disk of a node that runs on, and one that nobody has. */
async function lostPool(): Promise<World> {
  const world = newWorld(OLD);
  const appliance = await world.start();
  for (const [name, last] of [
    ["node-1", 1],
    ["node-2", 2],
  ] as const) {
    await appliance.nodes.add(newNode(name, last), "test");
  }
  const request = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true } as const;
  await done(appliance, await importImage(appliance, request, "test"));
  for (const node of ["node-1", "node-2"]) {
    await done(appliance, await provision(appliance, { node, image: "golden" }, "test"));
  }
  await done(appliance, await deprovision(appliance, { node: "node-2", disk: "keep", now: false }, "test"));
  await appliance.mirror.catchUp(signal);
  await world.end();
  return world;
}

async function done(appliance: Appliance, operation: Awaited<ReturnType<typeof adopt>>): Promise<void> {
  const { state, error } = await settled(appliance, operation);
  expect(state, JSON.stringify(error)).toBe("done");
}

const standings = async (appliance: Appliance, choice: AdoptionChoice = NOTHING) =>
  (await compareWithPool(appliance, choice)).map(({ name, standing, adopted }) => [name, standing, adopted]);

const ownersIn = (world: World) => new Set([...world.images.descriptions.values()].map((one) => one.appliance));

describe("adoption from an appliance that is gone", () => {
  it("shows what there is, and takes nothing that nobody has chosen", async () => {
    const appliance = await newWorld("app-new", await lostPool()).start();
    expect(await standings(appliance)).toEqual([
      ["golden", "gone", false],
      ["node-1-1", "gone", false],
      ["node-2-1", "gone", false],
    ]);
    await expect(adopt(appliance, NOTHING, "test")).rejects.toMatchObject({
      code: "CONFLICT",
      details: { remedy: `ingot adopt --from ${OLD}` },
    });
    expect(await standings(appliance, FROM_OLD)).toEqual([
      ["golden", "gone", true],
      ["node-1-1", "gone", true],
      ["node-2-1", "gone", true],
    ]);
  });

  it("brings the records back as they were, their nodes left out, and makes the things its own", async () => {
    const pool = await lostPool();
    const world = newWorld("app-new", pool);
    const appliance = await world.start();
    await done(appliance, await adopt(appliance, FROM_OLD, "test"));
    const golden = appliance.images.get(project, "golden");
    expect(golden).toMatchObject({ phonesHome: true, ready: true, origin: { source: "/import/golden.raw" } });
    expect(appliance.disks.get(project, "node-1-1")).toMatchObject({ image: golden.id, clean: false });
    expect(appliance.disks.get(project, "node-1-1").node).toBeUndefined();
    expect(appliance.disks.get(project, "node-2-1")).toMatchObject({ clean: true });
    expect(ownersIn(pool)).toEqual(new Set(["app-new"]));
    await appliance.mirror.catchUp(signal);
    expect(await standings(appliance)).toEqual([]);
    expect(appliance.mirror.state).toEqual({ behind: 0, taken: [], trouble: undefined });
    expect(await appliance.poolLeases.holder("adopt", signal)).toBeUndefined();
  });

  it("takes a disk that began blank for one", async () => {
    const pool = newWorld(OLD);
    const former = await pool.start();
    await done(former, await createDisk(former, { project, name: "scratch", sizeBytes: 4096 }, "test"));
    await former.mirror.catchUp(signal);
    await pool.end();
    const appliance = await newWorld("app-new", pool).start();
    await done(appliance, await adopt(appliance, FROM_OLD, "test"));
    expect(appliance.disks.get(project, "scratch")).not.toHaveProperty("image");
  });

  it("gives a thing another name where its own is in use", async () => {
    const appliance = await newWorld("app-new", await lostPool()).start();
    const request = { project, name: "golden", path: "/import/other.raw", format: "raw", phonesHome: true } as const;
    await done(appliance, await importImage(appliance, request, "test"));
    await done(appliance, await adopt(appliance, FROM_OLD, "test"));
    expect(appliance.images.list().map(({ name }) => name)).toEqual(["golden", "golden-2"]);
  });

  it("takes nothing from an appliance that lives", async () => {
    const pool = await lostPool();
    await pool.poolLeases.take(`appliance-${OLD}`, OLD, 60);
    const appliance = await newWorld("app-new", pool).start();
    expect((await standings(appliance, FROM_OLD)).map(([, standing, adopted]) => [standing, adopted])).toEqual(
      Array.from({ length: 3 }, () => ["living", false]),
    );
    await expect(adopt(appliance, FROM_OLD, "test")).rejects.toMatchObject({ code: "CONFLICT" });
    expect(ownersIn(pool)).toEqual(new Set([OLD]));
  });

  it("gives back what it had taken when that one lives again by the time it goes on", async () => {
    const pool = await lostPool();
    const world = newWorld("app-new", pool);
    let described = 0;
    const dies = Promise.withResolvers<void>();
    const before = (verb: string) => {
      if (verb === "catalogue.describe") described += 1;
      if (described < 2) return;
      dies.resolve();
      throw new ApplianceError("UNAVAILABLE", "the process is dead");
    };
    const wrapJournal = (journal: Journal): Journal =>
      journalWithAppend(journal, (...line) => {
        if (described < 2) journal.append(...line);
      });
    const first = await world.start({ before, wrapJournal });
    await adopt(first, FROM_OLD, "test");
    await dies.promise;
    world.crashed.add(first);
    expect(ownersIn(pool)).toEqual(new Set([OLD, "app-new"]));
    await pool.poolLeases.take(`appliance-${OLD}`, OLD, 60);
    const second = await world.start();
    const [operation] = second.runner.list();
    const { state, error } = await second.runner.settled(operation!.id);
    expect([state, error]).toMatchObject(["undone", { code: "CONFLICT", details: { value: OLD } }]);
    allOrNothing(second, pool, state);
  });

  it("waits for nobody else who adopts, and begins nothing meanwhile", async () => {
    const pool = await lostPool();
    await pool.poolLeases.take("adopt", "app-third", 60);
    const appliance = await newWorld("app-new", pool).start();
    const { state, error } = await settled(appliance, await adopt(appliance, FROM_OLD, "test"));
    expect([state, error?.code]).toEqual(["undone", "BUSY"]);
    expect(ownersIn(pool)).toEqual(new Set([OLD]));
  });

  it("has the former owner, should it come back, leave them alone", async () => {
    const pool = await lostPool();
    const appliance = await newWorld("app-new", pool).start();
    const other = newWorld(OLD, pool);
    const former = await other.start();
    const request = { project, name: "silver", path: "/import/silver.raw", format: "raw", phonesHome: true } as const;
    await done(former, await importImage(former, request, "test"));
    await former.mirror.catchUp(signal);
    await done(appliance, await adopt(appliance, FROM_OLD, "test"));
    expect((await standings(former)).filter(([, standing]) => standing === "taken")).toEqual([
      ["silver", "taken", false],
    ]);
    await expect(adopt(former, NOTHING, "test")).rejects.toMatchObject({ code: "CONFLICT" });
  });
});

it("adopts its own lost things without being told, and undescribed ones by their ids", async () => {
  const pool = await lostPool();
  const disk = [...pool.images.descriptions.values()].find(({ record }) => record.name === "node-2-1")!.id;
  pool.images.descriptions.delete(disk);
  const appliance = await newWorld(OLD, pool).start();
  expect(await standings(appliance)).toEqual([
    ["golden", "lost", true],
    ["node-1-1", "lost", true],
    [disk, "undescribed", false],
  ]);
  await expect(adopt(appliance, { ...NOTHING, undescribed: ["disk-none"] }, "test")).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
  await done(appliance, await adopt(appliance, { ...NOTHING, undescribed: [disk] }, "test"));
  expect(appliance.disks.get(project, disk)).toMatchObject({ name: disk, image: "unknown", clean: false });
  await appliance.mirror.catchUp(signal);
  expect(await standings(appliance)).toEqual([]);
  await done(appliance, await removeDisk(appliance, { project, disk }, "test"));
});

it("takes a record that is no record for undescribed", async () => {
  const pool = await lostPool();
  for (const one of pool.images.descriptions.values()) one.record.name = "../etc";
  const appliance = await newWorld("app-new", pool).start();
  expect(new Set((await standings(appliance)).map(([, standing]) => standing))).toEqual(new Set(["undescribed"]));
});

/** All of it is adopted, or nothing. */
function allOrNothing(appliance: Appliance, pool: World, state: string): void {
  const records = [...appliance.images.list(), ...appliance.disks.list()];
  expect(records.length, state).toBe(state === "done" ? 3 : 0);
  expect(ownersIn(pool), state).toEqual(new Set([state === "done" ? "app-new" : OLD]));
}

it("is all or nothing when any call to the pool fails", async () => {
  const outcomes = new Set<string>();
  for (let failAt = 1; ; failAt++) {
    const pool = await lostPool();
    let calls = -1;
    const before = (verb: string) => {
      if (calls >= 0 && ++calls === failAt) throw new ApplianceError("DRIVER_FAILED", `${verb} failed`);
    };
    const appliance = await newWorld("app-new", pool).start({ before });
    const operation = await adopt(appliance, FROM_OLD, "test");
    calls = 0;
    const { state } = await settled(appliance, operation);
    const total = calls;
    calls = -1;
    outcomes.add(state);
    allOrNothing(appliance, pool, state);
    if (total < failAt) break;
  }
  expect(outcomes).toEqual(new Set(["undone", "done"]));
});

it.each(["before", "after"])("is all or nothing after a crash %s each journal line", async (moment) => {
  for (let crashAt = 1; ; crashAt++) {
    const pool = await lostPool();
    const world = newWorld("app-new", pool);
    const crash = Promise.withResolvers<"crashed">();
    const crashed = () => crash.resolve("crashed");
    let [lines, dead] = [-1, false];
    const wrapJournal = (journal: Journal): Journal =>
      journalWithAppend(journal, (entry, durable, failed) => {
        if (lines >= 0 && !dead && ++lines === crashAt) {
          dead = true;
          return moment === "before" ? crashed() : journal.append(entry, crashed, failed);
        }
        if (!dead) journal.append(entry, durable, failed);
      });
    const before = () => {
      if (dead) throw new ApplianceError("UNAVAILABLE", "the process is dead");
    };
    const appliance = await world.start({ wrapJournal, before });
    lines = 0;
    const over = adopt(appliance, FROM_OLD, "test").then((operation) => appliance.runner.settled(operation.id));
    if ((await Promise.race([over, crash.promise])) !== "crashed") {
      expect(crashAt).toBeGreaterThan(4);
      break;
    }
    world.crashed.add(appliance);
    const second = await world.start();
    const [operation] = second.runner.list();
    const state = operation ? (await second.runner.settled(operation.id)).state : "never began";
    allOrNothing(second, pool, state);
  }
});
