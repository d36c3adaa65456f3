import { afterEach, beforeEach, expect, it } from "vitest";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { importNodes, type NodeImport } from "../../../src/operations/import-nodes.ts";
import { HilWorld } from "./hil-world.ts";
import { newNode, World } from "./world.ts";

let world: HilWorld;
let appliance: Appliance;

beforeEach(async () => {
  world = await HilWorld.make(["one", "two"]);
  appliance = await world.start();
});
afterEach(() => world.end());

const request: NodeImport = {
  ...{ nodes: [], network: "prov", firmware: "bios", loader: "auto", power: "hil", project: "default", dryRun: false },
};
const take = (change: Partial<NodeImport> = {}) => importNodes(appliance, { ...request, ...change }, "test");
const nic = (node: string, label = "eth0") => world.rack.hil.world.node(`u-${node}`).nics.get(label)!;

it("registers what HIL shows, with its names and labels, once", async () => {
  const eth0 = { label: "eth0", mac: "52:54:00:00:00:11" };
  const planned = await take({ dryRun: true });
  expect(planned).toMatchObject([
    { isolatedAs: "u-one", node: "u-one", outcome: "new", project: "default", bootNic: eth0 },
    { isolatedAs: "u-two", outcome: "new" },
  ]);
  expect(appliance.nodes.list()).toEqual([]);
  expect(await take()).toEqual(planned);
  expect(appliance.nodes.get("u-one")).toMatchObject({
    project: "default",
    power: { driver: "hil" },
    nics: [
      { mac: eth0.mac, role: "boot", network: "prov", port: "eth0" },
      { mac: "52:54:00:00:01:11", role: "data", port: "eth1" },
    ],
  });
  expect(await take()).toMatchObject([{ outcome: "known" }, { outcome: "known" }]);
  expect(appliance.nodes.list()).toHaveLength(2);
});

it("takes the NIC and the power that are asked for, and writes HIL's name down where it is another", async () => {
  const { nodes } = world.rack.hil.world;
  nodes.set("Dell-7", { ...world.rack.hil.world.node("u-one"), name: "Dell-7" });
  nodes.delete("u-one");
  expect(await take({ nodes: ["Dell-7"], bootNic: "eth1", power: "manual" })).toMatchObject([
    { isolatedAs: "Dell-7", node: "dell-7", outcome: "new", bootNic: { label: "eth1" } },
  ]);
  const added = appliance.nodes.get("dell-7");
  expect(added).toMatchObject({ isolatedAs: "Dell-7", power: { driver: "manual" } });
  expect(added.nics.find(({ role }) => role === "boot")).toMatchObject({ port: "eth1", network: "prov" });
});

it("finds a node that is registered by its MAC, and gives it HIL's name and labels", async () => {
  const node = newNode("mine", 0x11);
  await appliance.nodes.add({ ...node, nics: node.nics.slice(0, 1).map(({ port: _, ...one }) => one) }, "test");
  const cabled = { isolatedAs: "u-one", node: "mine", outcome: "cabled" };
  expect(await take({ nodes: ["u-one"], dryRun: true })).toMatchObject([cabled]);
  expect(appliance.nodes.get("mine")).not.toHaveProperty("isolatedAs");
  expect(await take({ nodes: ["u-one"] })).toMatchObject([cabled]);
  expect(appliance.nodes.get("mine")).toMatchObject({
    isolatedAs: "u-one",
    nics: [{ port: "eth0" }],
    power: node.power,
  });
});

it("gives a node to the project that has it in HIL, and no other", async () => {
  world.rack.hil.world.node("u-one").project = "p";
  world.rack.hil.world.node("u-two").project = "q";
  expect(await take()).toMatchObject([
    { outcome: "new", project: "default" },
    { outcome: "refused", reason: expect.stringContaining("isolation.projects") },
  ]);
});

it("refuses what can't be: each with its reason", async () => {
  const reason = (text: string) => ({ outcome: "refused", reason: expect.stringContaining(text) });
  nic("one").macaddr = "soon";
  nic("two").macaddr = "52:54:00:00:01:11".toUpperCase();
  expect(await take()).toMatchObject([reason("no MAC of its NIC eth0"), reason("at u-one too")]);
  expect(await take({ nodes: ["u-one"], bootNic: "em1" })).toMatchObject([reason("NICs: eth0, eth1")]);
  expect(await take({ nodes: ["nobody"] })).toMatchObject([reason("does not exist")]);
  expect(await take({ nodes: ["u-one"], bootNic: "eth1" })).toMatchObject([
    { outcome: "new", reason: expect.stringContaining("without eth0") },
  ]);
  expect(await take({ nodes: ["u-two"] })).toMatchObject([reason("which is u-one in HIL")]);
  await expect(take({ network: "none" })).rejects.toMatchObject({ code: "INVALID" });
  await expect(take({ project: "none" })).rejects.toMatchObject({ code: "NOT_FOUND" });
});

it("refuses a node of another's name, and tells that a switch knows no nodes", async () => {
  await appliance.nodes.add({ ...newNode("u-one", 1), nics: newNode("u-one", 1).nics }, "test");
  expect(await take({ nodes: ["u-one"] })).toMatchObject([{ outcome: "refused", node: "u-one" }]);
  const switched = new World();
  switched.isolated = true;
  const other = await switched.start();
  await expect(importNodes(other, request, "test")).rejects.toMatchObject({
    ...{ code: "INVALID", message: expect.stringContaining("ports and no nodes") },
    details: { remedy: expect.stringContaining("--port") },
  });
  await switched.end();
});
