import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkOwner } from "../../../src/drivers/images/description.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { removeDisk } from "../../../src/operations/remove-disk.ts";
import { removeImage } from "../../../src/operations/remove-image.ts";
import { done } from "./prove-procedures.ts";
import { newNode, settled, World } from "./world.ts";

const project = "default";

let world: World;
let appliance: Appliance;
/** Throws what the pool answers to a removal. */
let refusal: () => void;
beforeEach(async () => {
  refusal = () => {};
  world = new World();
  appliance = await world.start({
    before: (verb) => {
      if (verb === "images.remove") refusal();
    },
  });
  const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await done(appliance, importImage(appliance, golden, "test"));
});
afterEach(() => world.end());

describe("what another appliance has adopted is not removed, only its record", () => {
  const adopted = (kind: "disk" | "image", id: string) => {
    refusal = () => checkOwner({ kind, id }, "app-other", appliance.id);
  };

  it("when its disk is removed", async () => {
    await done(appliance, createDisk(appliance, { project, name: "web", sizeBytes: 4096 }, "test"));
    const { id } = appliance.disks.get(project, "web");
    adopted("disk", id);
    await done(appliance, removeDisk(appliance, { project, disk: "web", now: true }, "test"));
    expect(appliance.disks.all()).toEqual([]);
    expect(world.images.contents.has(`disk/${id}`)).toBe(true);
  });

  it("when its image is removed", async () => {
    const { id } = appliance.images.get(project, "golden");
    adopted("image", id);
    await done(appliance, removeImage(appliance, { project, image: "golden" }, "test"));
    expect(appliance.images.list()).toEqual([]);
    expect(world.images.contents.has(`image/${id}`)).toBe(true);
  });

  it("when its node is released", async () => {
    appliance.config.disks.graceHours = 0;
    await appliance.nodes.add(newNode("node-1", 1), "test");
    await done(appliance, provision(appliance, { node: "node-1", image: "golden" }, "test"));
    const { id } = appliance.disks.get(project, "node-1-1");
    adopted("disk", id);
    await done(appliance, deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test"));
    expect(appliance.disks.all()).toEqual([]);
    expect(world.images.contents.has(`disk/${id}`)).toBe(true);
  });
});

it("is stuck, and drops no record, when the pool refuses for another reason", async () => {
  refusal = () => {
    throw new ApplianceError("CONFLICT", "no");
  };
  const operation = await settled(appliance, await removeImage(appliance, { project, image: "golden" }, "test"));
  expect(operation.state).toBe("stuck");
  expect(appliance.images.list()).toHaveLength(1);
});
