import { afterEach, beforeEach, expect, it } from "vitest";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { powerNode } from "../../../src/operations/power-node.ts";
import { provision } from "../../../src/operations/provision.ts";
import { reconcile } from "../../../src/operations/reconcile.ts";
import { agreesWithHil, HilWorld, nodeInHil } from "./hil-world.ts";
import { done } from "./prove-procedures.ts";

/** What operations behind HIL wait for, and how they say so; and nodes that HIL gave to somebody else. */

let world: HilWorld;
let appliance: Appliance;
const ACTION_SECONDS = 3;
const SOON = { timeout: 30_000, interval: 5 };

beforeEach(async () => {
  world = await HilWorld.make(["node-1"], { actionSeconds: ACTION_SECONDS, callSeconds: 20 });
  appliance = await world.start();
  await appliance.nodes.add(nodeInHil("node-1", 1), "test");
  const golden = { name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true } as const;
  await done(appliance, importImage(appliance, { project: "default", ...golden }, "test"));
});

afterEach(() => world.end());

const provisionNode = () => provision(appliance, { node: "node-1", image: "golden" }, "test");
const releaseNode = () => deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test");
const inHil = () => world.rack.hil.world.node("u-node-1");

it("a release waits out a HIL that is down, and says so", async () => {
  await done(appliance, provisionNode());
  const { faults } = world.rack.hil;
  faults.add({ call: /detach_network/, answer: "cut", meanwhile: () => faults.add({ answer: "cut", always: true }) });
  const { id } = await releaseNode();
  await expect
    .poll(() => appliance.runner.waitingFor(id), SOON)
    .toMatchObject({ code: "UNAVAILABLE", details: { outage: true } });
  expect(appliance.runner.get(id).state).toBe("running");
  faults.clear();
  expect((await appliance.runner.settled(id)).state).toBe("done");
  agreesWithHil(appliance, world, "after the outage");
});

it("a provision is undone when HIL is down, and its way back waits until HIL is there again", async () => {
  const { faults } = world.rack.hil;
  faults.add({ call: /connect_network/, answer: "cut", meanwhile: () => faults.add({ answer: "cut", always: true }) });
  const { id } = await provisionNode();
  await expect.poll(() => appliance.runner.waitingFor(id), SOON).toMatchObject({ code: "UNAVAILABLE" });
  expect(appliance.runner.get(id).state).toBe("undoing");
  faults.clear();
  expect((await appliance.runner.settled(id)).state).toBe("undone");
  agreesWithHil(appliance, world, "undone");
});

it("a step shows what HIL has not done yet, for how long, and how long it may", async () => {
  world.rack.hil.daemon.stop();
  const { id } = await provisionNode();
  await expect
    .poll(() => appliance.runner.progress(id), SOON)
    .toMatchObject({
      ...{ step: "isolate", unit: "seconds", total: ACTION_SECONDS },
      waitingFor: "attach eth0 of u-node-1 to prov: HIL has not done it yet (PENDING)",
    });
  world.rack.hil.daemon.start(2);
  expect((await appliance.runner.settled(id)).state).toBe("done");
});

it("a release shows that it waits for the BMC's word", async () => {
  await done(appliance, provisionNode());
  const { obmd } = world.rack;
  obmd.faults.add({ call: /power_status/, after: 1, answer: "hang" });
  const { id } = await releaseNode();
  const waits = { step: "power-off", unit: "seconds", waitingFor: "the BMC of node-1 to say that it is off" };
  await expect.poll(() => obmd.faults.left, SOON).toBe(0);
  expect(appliance.runner.progress(id)).toMatchObject(waits);
  obmd.restart();
  expect((await appliance.runner.settled(id)).state).toBe("done");
});

it("a node that is switched off by hand shows that it waits for the BMC's word", async () => {
  await done(appliance, provisionNode());
  const { obmd } = world.rack;
  obmd.faults.add({ call: /power_status/, after: 2, answer: "hang" });
  const { id } = await powerNode(appliance, { node: "node-1", action: "off" }, "test");
  const waits = { step: "power", unit: "seconds", waitingFor: "the BMC of node-1 to say that it is off" };
  await expect.poll(() => obmd.faults.left, SOON).toBe(0);
  expect(appliance.runner.progress(id)).toMatchObject(waits);
  obmd.restart();
  expect((await appliance.runner.settled(id)).state).toBe("done");
});

it("a repair shows what HIL has not done yet", async () => {
  await done(appliance, provisionNode());
  inHil().nics.get("eth0")?.networks.clear();
  world.rack.hil.daemon.stop();
  const { id } = await reconcile(appliance, { repair: ["networks"] }, "test");
  await expect
    .poll(() => appliance.runner.progress(id), SOON)
    .toMatchObject({
      ...{ step: "node-1: join-networks", unit: "seconds", total: ACTION_SECONDS },
      waitingFor: "attach eth0 of u-node-1 to prov: HIL has not done it yet (PENDING)",
    });
  world.rack.hil.daemon.start(2);
  expect((await appliance.runner.settled(id)).state).toBe("done");
  agreesWithHil(appliance, world, "repaired");
});

it("a network that HIL can't be made to leave is stuck, with the reason, until its daemon is back", async () => {
  await done(appliance, provisionNode());
  world.rack.hil.daemon.stop();
  const { id } = await releaseNode();
  const stuck = await appliance.runner.settled(id);
  expect(stuck).toMatchObject({
    state: "stuck",
    error: { code: "TIMEOUT", details: { reason: expect.stringContaining("PENDING"), remedy: expect.any(String) } },
  });
  world.rack.hil.daemon.start(2);
  await appliance.runner.retry(id);
  expect((await appliance.runner.settled(id)).state).toBe("done");
  agreesWithHil(appliance, world, "after the retry");
});

it("a node that another project gets first is left to it", async () => {
  world.rack.hil.faults.add({
    ...{ call: /connect_node/, answer: "conflict" },
    meanwhile: () => {
      inHil().project = "q";
    },
  });
  const operation = await appliance.runner.settled((await provisionNode()).id);
  expect(operation).toMatchObject({ state: "undone", error: { code: "CONFLICT", details: { owner: "q" } } });
  expect(inHil().project).toBe("q");
});

it("a node that another project has by now keeps that one's networks", async () => {
  await done(appliance, provisionNode());
  const networks = inHil().nics.get("eth0")?.networks as Map<string, string>;
  inHil().project = "q";
  networks.set("vlan/native", "tenant");
  await done(appliance, releaseNode());
  expect(inHil().project).toBe("q");
  expect([...networks]).toEqual([["vlan/native", "tenant"]]);
  expect([...appliance.records.collection("allocations").entries()]).toEqual([]);
});
