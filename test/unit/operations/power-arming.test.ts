import { afterEach, beforeEach, expect, it } from "vitest";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { bootEntryOf } from "../../../src/operations/attachment.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { type PowerAction, powerNode } from "../../../src/operations/power-node.ts";
import { provision } from "../../../src/operations/provision.ts";
import { newNode, settled, World } from "./world.ts";

let world: World;
let appliance: Appliance;
let node: string;

beforeEach(async () => {
  world = new World();
  appliance = await world.start();
  node = (await appliance.nodes.add(newNode("node-1", 1), "test")).id;
  const image = {
    project: "default",
    name: "golden",
    path: "/import/golden.raw",
    format: "raw",
    phonesHome: true,
  } as const;
  await settled(appliance, await importImage(appliance, image, "test"));
  await settled(appliance, await provision(appliance, { node: "node-1", image: "golden" }, "test"));
});
afterEach(() => world.end());

const entry = () => bootEntryOf(appliance.records, node) as BootEntry;

/** Whether an action through us arms the entry of a node that was up, while its power is in this state. */
async function arms(action: PowerAction, state: "on" | "off"): Promise<boolean> {
  await appliance.records.commit([{ collection: "bootEntries", key: node, value: { ...entry(), disarmedAt: 1 } }]);
  world.power.get(node)!.state = state;
  await settled(appliance, await powerNode(appliance, { node: "node-1", action }, "test"));
  return entry().disarmedAt === undefined;
}

it("a new boot entry is armed", () => {
  expect(entry().disarmedAt).toBeUndefined();
});

it.each<[PowerAction, "on" | "off", boolean]>([
  ["on", "off", true],
  ["on", "on", false], // its OS goes on
  ["reset", "on", true],
  ["reset", "off", false], // it stays off
  ["off", "on", false],
  ["soft-off", "on", false],
])("power %s through us, when it is %s: armed %s", async (action, state, isArmed) => {
  expect(await arms(action, state)).toBe(isArmed);
});

it("an action that the BMC refuses arms nothing", async () => {
  world.power.get(node)!.reset = async () => {
    throw new Error("no");
  };
  expect(await arms("reset", "on")).toBe(false);
});

it("what is left of the sessions of an OS that we ended is cut, and no other's", async () => {
  const { iqn } = entry();
  const sessions = () => world.targets.sessions.get(iqn);
  world.nodesBoot = false;
  world.targets.sessions.set(iqn, ["1"]);
  await arms("on", "on");
  expect(sessions()).toEqual(["1"]);
  world.power.get(node)!.reset = async () => {
    world.targets.sessions.set(iqn, ["1", "2"]);
  };
  await arms("reset", "on");
  expect(sessions()).toEqual(["2"]);
});

it("an OS keeps its sessions at a power-on where nobody can tell whether it was on", async () => {
  const { iqn } = entry();
  const manual = { ...appliance.nodes.get(node), power: { driver: "manual" as const } };
  await appliance.records.commit([{ collection: "nodes", key: node, value: manual }]);
  world.targets.sessions.set(iqn, ["living"]);
  expect(await arms("on", "on")).toBe(true);
  expect(world.targets.sessions.get(iqn)).toEqual(["living"]);
});

it("a power-on arms, also when a crash came between the BMC's action and its journal line", async () => {
  await appliance.records.commit([{ collection: "bootEntries", key: node, value: { ...entry(), disarmedAt: 1 } }]);
  const power = world.power.get(node)!;
  power.state = "off";
  let tries = 0;
  const on = power.on.bind(power);
  power.on = async () => {
    await on();
    tries += 1;
    if (tries === 1) throw new ApplianceError("DRIVER_FAILED", "no answer", { retryable: true });
  };
  expect(await settled(appliance, await powerNode(appliance, { node: "node-1", action: "on" }, "test"))).toMatchObject({
    state: "done",
  });
  expect([tries, entry().disarmedAt]).toEqual([2, undefined]);
});
