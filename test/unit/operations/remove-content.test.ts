import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { checkOwner } from "../../../src/drivers/images/description.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import type { OperationRecord } from "../../../src/operations/operation.ts";
import { provision } from "../../../src/operations/provision.ts";
import { removeDisk } from "../../../src/operations/remove-disk.ts";
import { removeImage } from "../../../src/operations/remove-image.ts";
import { revertDisk } from "../../../src/operations/revert-disk.ts";
import type { Journal } from "../../../src/store/journal.ts";
import { journalWithAppend } from "../../fakes/journal-with-append.ts";
import { done } from "./prove-procedures.ts";
import { newNode, settled, World } from "./world.ts";

const project = "default";
const imported = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
const HOUR_MS = 3_600_000;

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
  await done(appliance, importImage(appliance, imported, "test"));
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

describe("a removal that takes hours, as that of terabytes in Ceph does, is waited for", () => {
  afterEach(() => void vi.useRealTimers());
  beforeEach(async () => {
    appliance.config.disks.graceHours = 0;
    await appliance.nodes.add(newNode("node-1", 1), "test");
    await done(appliance, provision(appliance, { node: "node-1", image: "golden" }, "test"));
    await done(appliance, createDisk(appliance, { project, name: "web", sizeBytes: 4096 }, "test"));
    await done(appliance, importImage(appliance, { ...imported, name: "other" }, "test"));
  });

  it.each<[string, () => Promise<OperationRecord>]>([
    ["of a disk", () => removeDisk(appliance, { project, disk: "web", now: true }, "test")],
    ["of an image", () => removeImage(appliance, { project, image: "other" }, "test")],
    ["of a released node's disk", () => deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test")],
    [
      "of what a disk held before it was reverted",
      () => revertDisk(appliance, { project, disk: "web", image: "other" }, "test"),
    ],
  ])("%s", async (_, begin) => {
    const [removing, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const remove = world.images.remove.bind(world.images);
    world.images.remove = async (...what) => {
      removing.resolve();
      await gone.promise;
      return remove(...what);
    };
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"], shouldAdvanceTime: true });
    const operation = await begin();
    await removing.promise;
    vi.advanceTimersByTime(3 * HOUR_MS);
    gone.resolve();
    expect(await settled(appliance, operation)).toMatchObject({ state: "done" });
  });
});

it("leaves an image whole, where the disk refused to note that its removal began", async () => {
  let isRefused = false;
  const wrapJournal = (journal: Journal): Journal =>
    journalWithAppend(journal, (entry, durable, failed) => {
      if (isRefused || !JSON.stringify(entry).includes('"state":"started"'))
        return journal.append(entry, durable, failed);
      isRefused = true;
      failed(new ApplianceError("UNAVAILABLE", "the disk refuses"));
    });
  await appliance.runner.stop();
  const other = await world.start({ wrapJournal });
  const operation = await settled(other, await removeImage(other, { project, image: "golden" }, "test"));
  expect([isRefused, operation.state]).toEqual([true, "undone"]);
  expect(other.images.get(project, "golden").ready).toBe(true);
});

it("is stuck, and drops no record, when the pool refuses for another reason", async () => {
  refusal = () => {
    throw new ApplianceError("CONFLICT", "no");
  };
  const operation = await settled(appliance, await removeImage(appliance, { project, image: "golden" }, "test"));
  expect(operation.state).toBe("stuck");
  expect(appliance.images.list()).toHaveLength(1);
});
