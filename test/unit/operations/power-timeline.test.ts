import { afterEach, beforeEach, expect, it } from "vitest";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { type PowerAction, powerNode } from "../../../src/operations/power-node.ts";
import { parseMac } from "../../../src/values/mac.ts";
import { newNode, settled, World } from "./world.ts";

const mac = parseMac("52:54:00:00:00:01");

let world: World;
let appliance: Appliance;
beforeEach(async () => {
  world = new World();
  appliance = await world.start();
  await appliance.nodes.add(newNode("node-1", 1), "test");
});
afterEach(() => world.end());

async function power(action: PowerAction): Promise<void> {
  const { state } = await settled(appliance, await powerNode(appliance, { node: "node-1", action }, "test"));
  expect(state).toBe("done");
}

it("a boot that we began by a reset is a boot of its own, and what came before ended by our hand", async () => {
  await power("on");
  const at = Date.now();
  for (const [stage, after] of [["dhcp-firmware", 1] as const, ["boot-file", 2] as const]) {
    appliance.bootEvents({ mac, stage, at: at + after, file: "undionly.kpxe" });
  }
  await power("reset");
  const [now, before] = appliance.boots.boots(mac);
  expect(now?.stages.map(({ stage }) => stage)).toEqual(["power-on"]);
  expect(before?.stages.map(({ stage }) => stage)).toEqual(["power-on", "dhcp-firmware", "boot-file"]);
  // the loader had no time to show anything, and a cut boot is no round of a loop
  expect(now?.taught).toEqual({ proven: [], rounds: 0, roundedAt: 0, reachedScript: false });
});
