import { afterEach, beforeEach, expect, it } from "vitest";
import type { Appliance } from "../../../../src/operations/appliance.ts";
import { bmcCheck } from "../../../../src/operations/doctor/bmcs.ts";
import { importImage } from "../../../../src/operations/import-image.ts";
import { provision } from "../../../../src/operations/provision.ts";
import { agreesWithHil, HilWorld, nodeInHil } from "../hil-world.ts";
import { done } from "../prove-procedures.ts";

/** The doctor at BMCs that HIL has: HIL opens the way to one when it is asked, and lets no node go before it is shut. */

let world: HilWorld;
let appliance: Appliance;
beforeEach(async () => {
  world = await HilWorld.make(["node-1"]);
  appliance = await world.start();
  await appliance.nodes.add(nodeInHil("node-1", 1), "test");
});
afterEach(() => world.end());

const examine = () => bmcCheck.run({ appliance, configFile: "/ingot.yaml" }, AbortSignal.timeout(10_000));

it("asks none of a node that nobody has", async () => {
  expect(await examine()).toMatchObject([{ subject: "node-1", state: "ok" }]);
  expect(world.rack.obmd.seen).toEqual([]);
  agreesWithHil(appliance, world, "after the doctor");
});

it("asks that of a node that is provisioned", async () => {
  const golden = { name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await done(appliance, importImage(appliance, { project: "default", ...golden }, "test"));
  await done(appliance, provision(appliance, { node: "node-1", image: "golden" }, "test"));
  expect(await examine()).toMatchObject([{ subject: "node-1", state: "ok", message: "answers: power is on" }]);
  world.rack.obmd.faults.add({ call: /power_status/, answer: "html-500" });
  expect(await examine()).toMatchObject([{ subject: "node-1", state: "failed", remedy: expect.any(String) }]);
});
