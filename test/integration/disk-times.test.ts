/**
 * What an appliance does with disks by itself as time passes, and what it refuses a project that has enough: a whole one,
 * whose clock is set ahead, and a machine that runs on its disk.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Disk, Image, Quota } from "../../src/cli/answers.ts";
import { stored } from "../e2e/pool-view.ts";
import { destroyEverything, findProcess } from "../lab/lab-state.ts";
import { addQuickMachine } from "../lab/quick-machine.ts";
import { createRack, type Rack } from "../lab/rack.ts";

const STATE = "/var/tmp/ingot-disk-times";
const MIB = 1024 ** 2;
const PATIENT = { timeout: 40_000, interval: 50 };
/** What live-machine.ts writes into the first disk that it has. */
const WRITTEN = "written by a living machine";

let rack: Rack;
/** The directories of the machines. */
const machines = new Map<string, string>();

beforeAll(async () => {
  await destroyEverything(STATE);
  rack = await createRack({
    ...{ stateDirectory: STATE, name: "disktime", control: 646, ingotd: "test/lab/leaping-ingotd.ts" },
    config: { disks: { graceHours: 2 } },
  });
  const file = join(rack.importDirectory, "golden.raw");
  writeFileSync(file, Buffer.alloc(4 * MIB, "golden "));
  await rack.ingot("image", "import", "golden", "--file", file, "--format", "raw", "--phones-home");
});
afterAll(() => destroyEverything(STATE));

/** A machine that writes to its disk, or wants to find there what was written. */
async function addMachine(name: string, last: number, ...expected: string[]): Promise<void> {
  const [mac, address] = [`52:54:00:77:00:${last}`, `10.77.0.${last}`];
  const program = join(import.meta.dirname, "programs/live-machine.ts");
  const directory = await addQuickMachine(rack, {
    ...{ name, mac, address, bmcAddress: `127.0.1.${last}`, namespace: `ingot-times-${name}` },
    program: [process.execPath, program, address, rack.addresses[0] as string, mac, ...expected],
  });
  machines.set(name, directory);
}

/** The machine's disk is there, holds what it should, and takes writes. */
async function livesOn(name: string): Promise<void> {
  const said = () =>
    readFileSync(join(machines.get(name) as string, "qemu.log"), "utf8")
      .trim()
      .split("\n");
  const before = said().length;
  await expect.poll(() => said().length, PATIENT).toBeGreaterThan(before + 5);
  expect(said().at(-1)).toMatch(/^\d+$/);
}

async function anHourLater(): Promise<void> {
  process.kill((await findProcess(STATE, "ingotd")) as number, "SIGUSR2");
}

const images = () => rack.ingotJson<Image[]>("image", "list");
const imageNames = async () => (await images()).map(({ name }) => name).sort();
/** The oldest first: their names tell. */
const scheduled = async () =>
  (await images())
    .filter(({ name }) => /^node-1-1-\d{8}-\d{4}$/.test(name))
    .sort((one, other) => one.name.localeCompare(other.name));
const deleted = async () => (await rack.ingotJson<Disk[]>("disk", "list", "--deleted")).map(({ name }) => name);
const quota = () => rack.ingotJson<Quota>("quota", "show", "default");

it("snapshots of a running machine's disk are taken by themselves, and the oldest is removed", async () => {
  await addMachine("node-1", 61);
  await rack.ingot("provision", "node-1", "--image", "golden");
  await livesOn("node-1");
  await rack.ingot("disk", "snapshot", "node-1-1", "--as", "by-hand");
  await rack.ingot("disk", "schedule", "node-1-1", "--every", "30m", "--keep", "2");
  const seen = new Set<string>();
  while (seen.size < 3) {
    const before = seen.size;
    await anHourLater();
    const count = async () => {
      for (const { id } of await scheduled()) seen.add(id);
      return seen.size;
    };
    await expect.poll(count, PATIENT).toBeGreaterThan(before);
  }
  const [first, ...newest] = seen;
  await expect.poll(async () => (await scheduled()).map(({ id }) => id), PATIENT).toEqual(newest);
  await expect.poll(() => stored(rack), PATIENT).not.toContain(first);
  expect(await stored(rack)).toEqual(expect.arrayContaining(newest));
  expect(await imageNames()).toContain("by-hand");
  await rack.ingot("disk", "schedule", "node-1-1", "--off");
  await livesOn("node-1");
});

it("another machine finds in such a snapshot what the first one wrote", async () => {
  const [snapshot] = await scheduled();
  await addMachine("node-2", 62, WRITTEN);
  await rack.ingot("provision", "node-2", "--image", snapshot!.name);
  await livesOn("node-2");
});

it("a deleted disk comes back with what it held until its grace is over, and then is gone", async () => {
  const [first, second] = await Promise.all(
    ["node-1-1", "node-2-1"].map((name) => rack.ingotJson<Disk>("disk", "show", name)),
  );
  await rack.ingot("deprovision", "node-2", "--delete-disk", "--now");
  await anHourLater();
  await rack.ingot("deprovision", "node-1", "--keep-disk", "--now");
  await rack.ingot("disk", "rm", "node-1-1", "--yes");
  expect((await deleted()).sort()).toEqual(["node-1-1", "node-2-1"]);
  expect(await stored(rack)).toEqual(expect.arrayContaining([first!.id, second!.id]));
  await expect(rack.ingot("provision", "node-2", "--disk", "node-1-1")).rejects.toThrow(/ingot disk undelete node-1-1/);

  await anHourLater();
  await expect.poll(deleted, PATIENT).toEqual(["node-1-1"]);
  await expect.poll(() => stored(rack), PATIENT).not.toContain(second!.id);
  await expect(rack.ingot("disk", "undelete", "node-2-1")).rejects.toThrow(/no deleted disk "node-2-1"/);

  await rack.ingot("disk", "undelete", "node-1-1");
  await rack.ingot("provision", "node-2", "--disk", "node-1-1");
  await livesOn("node-2");
  await rack.ingot("deprovision", "node-2", "--delete-disk", "--now");
  for (const _ of ["first", "second"]) await anHourLater();
  await expect.poll(deleted, PATIENT).toEqual([]);
  await expect.poll(() => stored(rack), PATIENT).not.toContain(first!.id);
});

it("what would be more than a project may have is refused, and passes once there is room", async () => {
  const { used } = await quota();
  expect(used.disks).toBe(0);
  const create = (name: string) => rack.ingot("disk", "create", name, "--size", "8M");
  const refused = async (ask: () => Promise<unknown>, field: string) => {
    const kept = await stored(rack);
    const reason = new RegExp(
      `ended with 7: [^]*project default may have \\d+ ${field}; it has \\d+, and wants \\d+ more`,
    );
    await expect(ask()).rejects.toThrow(reason);
    expect(await stored(rack)).toEqual(kept);
  };

  await rack.ingot("quota", "set", "default", "--disks", "1");
  await create("one");
  await refused(() => create("two"), "disks");
  await refused(() => rack.ingot("provision", "node-1", "--image", "golden"), "disks");
  // it counts as long as it can come back
  await rack.ingot("disk", "rm", "one", "--yes");
  await refused(() => create("two"), "disks");
  await rack.ingot("disk", "purge", "one", "--yes");
  await rack.ingot("provision", "node-1", "--image", "golden");
  await livesOn("node-1");
  await rack.ingot("quota", "set", "default", "--disks", "none", "--images", String(used.images));

  await refused(() => rack.ingot("disk", "snapshot", "node-1-1", "--as", "more"), "images");
  await refused(() => rack.ingot("image", "copy", "golden", "more"), "images");
  await rack.ingot("image", "rm", "by-hand");
  await rack.ingot("disk", "snapshot", "node-1-1", "--as", "more");

  const { bytes } = (await quota()).used;
  await rack.ingot("quota", "set", "default", "--images", "none", "--bytes", `${bytes / MIB + 7}M`);
  await refused(() => create("large"), "bytes");
  const file = join(rack.importDirectory, "golden.raw");
  writeFileSync(file, Buffer.alloc(8 * MIB, "golden "));
  const anImport = ["image", "import", "large", "--file", file, "--format", "raw"];
  await refused(() => rack.ingot(...anImport), "bytes");
  await rack.ingot("image", "rm", "more");
  await rack.ingot(...anImport);
  expect((await quota()).used.bytes).toBe(bytes + 4 * MIB);
});
