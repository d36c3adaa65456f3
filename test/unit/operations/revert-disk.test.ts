import { afterEach, beforeEach, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { findDrift } from "../../../src/operations/drift.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import type { OperationRecord } from "../../../src/operations/operation.ts";
import { powerNode } from "../../../src/operations/power-node.ts";
import { provision } from "../../../src/operations/provision.ts";
import { revertDisk } from "../../../src/operations/revert-disk.ts";
import { snapshotDisk } from "../../../src/operations/snapshot-disk.ts";
import { newNode, settled, World } from "./world.ts";

const project = "default";
const disk = "node-1-1";

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

async function done(appliance: Appliance, beginning: Promise<OperationRecord>): Promise<void> {
  const operation = await settled(appliance, await beginning);
  expect(operation.state, JSON.stringify(operation.error)).toBe("done");
}

/** Node 1 runs from its clone of `golden`. */
async function provisioned(appliance: Appliance, power: "ipmi" | "manual"): Promise<void> {
  const node = newNode("node-1", 1);
  await appliance.nodes.add(power === "manual" ? { ...node, power: { driver: "manual" } } : node, "test");
  const request = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true } as const;
  await done(appliance, importImage(appliance, request, "test"));
  await done(appliance, provision(appliance, { node: "node-1", image: "golden" }, "test"));
}

it("changes no disk before its node, which has no BMC, was seen off", async () => {
  let stateThen: string | undefined;
  const appliance = await world.start({
    before: (verb) => {
      if (verb === "images.revert") stateThen = [...world.power.values()][0]?.state;
    },
  });
  await provisioned(appliance, "manual");
  expect([...world.power.values()][0]?.state).toBe("on");
  await done(appliance, revertDisk(appliance, { project, disk }, "test"));
  expect(stateThen).toBe("off");
});

it("refuses while a BMC says that the node is on", async () => {
  const appliance = await world.start();
  await provisioned(appliance, "ipmi");
  const operation = await settled(appliance, await revertDisk(appliance, { project, disk }, "test"));
  expect(operation).toMatchObject({ state: "undone", error: { code: "CONFLICT" } });
});

it("has what it keeps for its undo to itself, for as long as it takes", async () => {
  let isFailing = true;
  const appliance = await world.start({
    before: (verb) => {
      if (verb === "images.remove" && isFailing) throw new ApplianceError("DRIVER_FAILED", "no luck");
    },
  });
  await provisioned(appliance, "ipmi");
  await done(appliance, powerNode(appliance, { node: "node-1", action: "off" }, "test"));
  const { id, state } = await settled(appliance, await revertDisk(appliance, { project, disk }, "test"));
  expect(state).toBe("stuck");
  expect(await findDrift(appliance)).toEqual([]);
  isFailing = false;
  await done(appliance, appliance.runner.retry(id));
  expect(await findDrift(appliance)).toEqual([]);
});

it("calls a disk as clean as the image that it now holds", async () => {
  const appliance = await world.start();
  await provisioned(appliance, "ipmi");
  await done(appliance, snapshotDisk(appliance, { project, disk, image: "running" }, "test"));
  await done(appliance, powerNode(appliance, { node: "node-1", action: "off" }, "test"));
  await done(appliance, revertDisk(appliance, { project, disk, image: "running" }, "test"));
  expect(appliance.disks.get(project, disk).clean).toBe(false);
  await done(appliance, revertDisk(appliance, { project, disk }, "test"));
  expect(appliance.disks.get(project, disk).clean).toBe(true);
});
