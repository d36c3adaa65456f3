import { afterEach, beforeEach, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { newNode, settled, World } from "./world.ts";

let world: World;
let appliance: Appliance;

beforeEach(async () => {
  world = new World();
  appliance = await world.start();
  await appliance.nodes.add(newNode("node-1", 1), "test");
  const path = "/import/golden.raw";
  const image = { project: "default", name: "golden", path, format: "raw", phonesHome: true } as const;
  await settled(appliance, await importImage(appliance, image, "test"));
  await settled(appliance, await provision(appliance, { node: "node-1", image: "golden" }, "test"));
});
afterEach(() => world.end());

it("is cut of a node whose BMC can't ask its OS to shut down, and its disk is not taken for clean", async () => {
  const power = world.power.get(appliance.nodes.get("node-1").id)!;
  power.softOff = async () => {
    throw new ApplianceError("UNSUPPORTED", "can't");
  };
  const release = await deprovision(appliance, { node: "node-1", disk: "keep", now: false }, "test");
  expect(await settled(appliance, release)).toMatchObject({ state: "done" });
  expect(power.state).toBe("off");
  expect(appliance.disks.get("default", "node-1-1")).toMatchObject({ clean: false });
});
