import { afterEach, beforeEach, expect, it } from "vitest";
import type { Appliance } from "../../../../src/operations/appliance.ts";
import { isolatorCheck } from "../../../../src/operations/doctor/isolator.ts";
import { HilWorld, nodeInHil, PROJECT_IN_HIL } from "../hil-world.ts";

let world: HilWorld;
let appliance: Appliance;
let hil: HilWorld["rack"]["hil"]["world"];

beforeEach(async () => {
  world = await HilWorld.make(["node-1"]);
  appliance = await world.start();
  hil = world.rack.hil.world;
  await appliance.nodes.add(nodeInHil("node-1", 0x11), "test");
});
afterEach(() => world.end());

const examine = () => isolatorCheck.run({ appliance, configFile: "/ingot.yaml" }, AbortSignal.timeout(10_000));
const amiss = async () => (await examine()).filter(({ state }) => state !== "ok");

it("finds a HIL in order that knows user, projects by its names, and networks", async () => {
  expect(await examine()).toEqual([
    {
      check: "isolator",
      subject: world.rack.hil.url,
      state: "ok",
      message: expect.stringContaining("1 nodes are free"),
    },
    { check: "isolator", subject: `project ${PROJECT_IN_HIL}`, state: "ok", message: "has 0 nodes" },
    { check: "isolator", subject: "network prov", state: "ok", message: expect.stringContaining("is made when") },
  ]);
  hil.networks.set("prov", { name: "prov", owner: "admin", access: null, id: "20" });
  expect((await examine())[2]).toMatchObject({ state: "ok", message: "is there, VLAN 20" });
});

it("names what HIL does not know, or has otherwise, each with a remedy", async () => {
  hil.projects.delete(PROJECT_IN_HIL);
  hil.networks.set("prov", { name: "prov", owner: "admin", access: null, id: "21" });
  const eth0 = hil.node("u-node-1").nics.get("eth0")!;
  eth0.macaddr = "52:54:00:00:00:99";
  expect(await amiss()).toMatchObject([
    { subject: `project ${PROJECT_IN_HIL}`, remedy: expect.stringContaining("isolation.projects") },
    {
      subject: "network prov",
      message: "is VLAN 21 in HIL, not 20",
      remedy: expect.stringContaining("networks[].vlan"),
    },
    { subject: "node u-node-1", message: expect.stringContaining("52:54:00:00:00:99"), remedy: expect.any(String) },
  ]);
  hil.nodes.clear();
  expect((await amiss())[2]).toMatchObject({ state: "failed", subject: "node u-node-1", remedy: expect.any(String) });
});

it("says that HIL does not know its user, or is not there", async () => {
  hil.users.clear();
  await expect(examine()).rejects.toMatchObject({ code: "UNAUTHENTICATED", details: { remedy: expect.any(String) } });
  world.rack.hil.faults.add({ answer: "cut", always: true });
  await expect(examine()).rejects.toMatchObject({ code: "UNAVAILABLE", details: { remedy: expect.any(String) } });
});
