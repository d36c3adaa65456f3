import { afterEach, beforeEach, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { limitDisk } from "../../../src/operations/limit-disk.ts";
import type { IoLimits } from "../../../src/values/io-limits.ts";
import { done } from "./prove-procedures.ts";
import { nothingLeftBehind, settled, World } from "./world.ts";

const disk = { project: "default", disk: "scratch" };

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

it("puts the former limits back when the store fails after the deed", async () => {
  const appliance = await world.start();
  await done(appliance, createDisk(appliance, { project: "default", name: "scratch", sizeBytes: 4096 }, "test"));
  await done(appliance, limitDisk(appliance, { ...disk, change: { iops: 500 } }, "test"));
  const set = world.images.limit.bind(world.images);
  const asked: IoLimits[] = [];
  world.images.limit = async (id, limits) => {
    asked.push(limits);
    await set(id, limits);
    if (asked.length === 1) throw new ApplianceError("DRIVER_FAILED", "the pool failed");
  };
  const beginning = await limitDisk(appliance, { ...disk, change: { iops: 700 } }, "test");
  expect((await settled(appliance, beginning)).state).toBe("undone");
  expect(asked).toEqual([{ iops: 700 }, { iops: 500 }]);
  expect(appliance.disks.get("default", "scratch").limits).toEqual({ iops: 500 });
  nothingLeftBehind(appliance, world);
});

it("ends undone, with the remedy, where the store limits no single disk", async () => {
  const appliance = await world.start();
  await done(appliance, createDisk(appliance, { project: "default", name: "scratch", sizeBytes: 4096 }, "test"));
  world.images.limit = async (_, limits) => {
    if (Object.keys(limits).length === 0) return;
    throw new ApplianceError("UNSUPPORTED", "not here", { details: { remedy: "limit its tgtd" } });
  };
  const beginning = await limitDisk(appliance, { ...disk, change: { iops: 700 } }, "test");
  const ended = await settled(appliance, beginning);
  expect(ended).toMatchObject({
    state: "undone",
    error: { code: "UNSUPPORTED", details: { remedy: "limit its tgtd" } },
  });
  expect(appliance.disks.get("default", "scratch").limits).toBeUndefined();
});
