import { afterEach, beforeEach, expect, it } from "vitest";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { findDrift } from "../../../src/operations/drift.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { HilWorld, nodeInHil, PROJECT_IN_HIL } from "./hil-world.ts";
import { done } from "./prove-procedures.ts";

/** Nodes of HIL that it hides from its user, since they are another project's. */

let world: HilWorld;
let appliance: Appliance;
beforeEach(async () => {
  world = await HilWorld.make(["node-1"]);
  appliance = await world.start();
  await appliance.nodes.add(nodeInHil("node-1", 1), "test");
});
afterEach(() => world.end());

function hide(): void {
  const { users } = world.rack.hil.world;
  for (const user of users.values()) Object.assign(user, { admin: false, projects: new Set([PROJECT_IN_HIL]) });
  world.rack.hil.world.node("u-node-1").project = "q";
}

const found = async () => (await findDrift(appliance)).map(({ kind, message }) => `${kind}: ${message}`);

it("one that nobody has here is nobody's drift", async () => {
  hide();
  expect(await found()).toEqual([]);
  world.rack.hil.world.nodes.clear();
  expect(await found()).toEqual(["unanswered: could not be compared: hil does not show a node u-node-1"]);
});

it("one that is provisioned here is another project's there", async () => {
  const golden = { name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await done(appliance, importImage(appliance, { project: "default", ...golden }, "test"));
  await done(appliance, provision(appliance, { node: "node-1", image: "golden" }, "test"));
  await appliance.mirror.catchUp(new AbortController().signal);
  expect(await found()).toEqual([]);
  hide();
  expect(await found()).toContain(`owner: hil has it for another project; by the records, ${PROJECT_IN_HIL} has it`);
});
