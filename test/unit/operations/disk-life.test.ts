import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import type { OperationRecord } from "../../../src/operations/operation.ts";
import { orphanDisks } from "../../../src/operations/orphan-disks.ts";
import { provision } from "../../../src/operations/provision.ts";
import { purgeDeleted } from "../../../src/operations/purge-deleted.ts";
import { purgeDisk, removeDisk, undeleteDisk } from "../../../src/operations/remove-disk.ts";
import { renameDisk } from "../../../src/operations/rename-disk.ts";
import { revertDisk } from "../../../src/operations/revert-disk.ts";
import { newNode, nothingLeftBehind, settled, World } from "./world.ts";

const project = "default";
const HOUR_MS = 3_600_000;

let world: World;
let appliance: Appliance;
beforeEach(async () => {
  world = new World();
  appliance = await world.start();
});
afterEach(() => world.end());

async function done(beginning: Promise<OperationRecord>): Promise<void> {
  const operation = await settled(appliance, await beginning);
  expect(operation.state, JSON.stringify(operation.error)).toBe("done");
}

const create = (name: string, sizeBytes = 4096) => done(createDisk(appliance, { project, name, sizeBytes }, "test"));
const remove = (disk: string) => done(removeDisk(appliance, { project, disk }, "test"));
const isStored = (id: string) => world.images.contents.has(`disk/${id}`);

/** So much later. */
function afterHours(hours: number): Appliance {
  const { clock } = appliance;
  return { ...appliance, clock: { ...clock, now: () => clock.now() + hours * HOUR_MS } };
}

async function withNode(): Promise<void> {
  await appliance.nodes.add(newNode("node-1", 1), "test");
  const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await done(importImage(appliance, golden, "test"));
}

describe("a deleted disk", () => {
  it("is out of sight, its name is free, and it can be brought back", async () => {
    await create("web");
    const { id } = appliance.disks.get(project, "web");
    await remove("web");
    expect(appliance.disks.list(project)).toEqual([]);
    expect(() => appliance.disks.get(project, "web")).toThrow(
      expect.objectContaining({
        details: expect.objectContaining({ remedy: expect.stringContaining("undelete web") }),
      }),
    );
    await create("web");
    const back = undeleteDisk(appliance, { project, disk: "web" });
    await expect(back).rejects.toMatchObject({ code: "EXISTS" });
    expect(await undeleteDisk(appliance, { project, disk: "web", as: "old-web" })).toMatchObject({ id });
    expect(appliance.disks.list(project).map(({ name }) => name)).toEqual(["old-web", "web"]);
    expect(appliance.disks.get(project, "old-web").deletedAt).toBeUndefined();
    nothingLeftBehind(appliance, world);
  });

  it("goes for good when its grace is over, and not before", async () => {
    await create("web");
    const { id } = appliance.disks.get(project, "web");
    await remove("web");
    const { signal } = new AbortController();
    await purgeDeleted(afterHours(appliance.config.disks.graceHours - 1), signal);
    expect(isStored(id)).toBe(true);
    await purgeDeleted(afterHours(appliance.config.disks.graceHours + 1), signal);
    expect(isStored(id)).toBe(false);
    expect(appliance.disks.all()).toEqual([]);
    await expect(undeleteDisk(appliance, { project, disk: "web" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("goes earlier while the pool takes nothing new: the oldest first, one in a round", async () => {
    for (const name of ["first", "second"]) {
      await create(name);
      await remove(name);
    }
    const [first, second] = appliance.disks.listDeleted();
    const shut = { ...appliance, pool: { level: "closed" } as unknown as Appliance["pool"] };
    const { signal } = new AbortController();
    await purgeDeleted(shut, signal);
    expect([isStored(first!.id), isStored(second!.id)]).toEqual([false, true]);
    await purgeDeleted(appliance, signal);
    expect(isStored(second!.id)).toBe(true);
    await purgeDeleted(shut, signal);
    expect(isStored(second!.id)).toBe(false);
  });

  it("has its grace anew when it was brought back and deleted again while others went", async () => {
    for (const name of ["first", "second"]) {
      await create(name);
      await remove(name);
    }
    const [first, second] = appliance.disks.listDeleted();
    const late = afterHours(appliance.config.disks.graceHours + 1);
    const purging = purgeDeleted(late, new AbortController().signal);
    await undeleteDisk(appliance, { project, disk: second!.id });
    const deletedAt = late.clock.now();
    await appliance.records.commit([{ collection: "disks", key: second!.id, value: { ...second, deletedAt } }]);
    await purging;
    expect([isStored(first!.id), isStored(second!.id)]).toEqual([false, true]);
  });

  it("that was brought back meanwhile keeps no other from going", async () => {
    for (const name of ["first", "second", "third"]) {
      await create(name);
      await remove(name);
    }
    const [first, second, third] = appliance.disks.listDeleted();
    const purging = purgeDeleted(afterHours(appliance.config.disks.graceHours + 1), new AbortController().signal);
    await undeleteDisk(appliance, { project, disk: second!.id });
    await purging;
    expect([first, second, third].map((one) => isStored(one!.id))).toEqual([false, true, false]);
  });

  it("can be purged by hand, and a living one of that name is not touched", async () => {
    await create("web");
    await remove("web");
    await create("web");
    await done(purgeDisk(appliance, { project, disk: "web" }, "test"));
    expect(appliance.disks.all().map(({ name, deletedAt }) => [name, deletedAt])).toEqual([["web", undefined]]);
    await expect(purgeDisk(appliance, { project, disk: "web" }, "test")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("is deleted so by the release of its node too", async () => {
    await withNode();
    await done(provision(appliance, { node: "node-1", image: "golden" }, "test"));
    const { id } = appliance.disks.get(project, "node-1-1");
    await done(deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test"));
    expect(appliance.disks.list()).toEqual([]);
    expect(await undeleteDisk(appliance, { project, disk: "node-1-1" })).toMatchObject({ id, clean: false });
    await done(provision(appliance, { node: "node-1", disk: "node-1-1" }, "test"));
    nothingLeftBehind(appliance, world);
  });
});

describe("size", () => {
  it("is the image's, or more: never less, and whole sectors", async () => {
    await withNode();
    const imageBytes = appliance.images.get(project, "golden").sizeBytes;
    const request = { node: "node-1", image: "golden" };
    for (const sizeBytes of [imageBytes - 512, imageBytes + 1, 0, Number.MAX_SAFE_INTEGER]) {
      const refused = { code: "INVALID", details: { field: "sizeBytes", value: sizeBytes } };
      await expect(provision(appliance, { ...request, sizeBytes }, "test")).rejects.toMatchObject(refused);
    }
    await done(provision(appliance, { ...request, sizeBytes: 2 * imageBytes }, "test"));
    const disk = appliance.disks.get(project, "node-1-1");
    expect(disk.sizeBytes).toBe(2 * imageBytes);
    expect((await world.images.stat("disk", disk.id))?.sizeBytes).toBe(2 * imageBytes);
    await done(deprovision(appliance, { node: "node-1", disk: "keep", now: true }, "test"));
    await done(revertDisk(appliance, { project, disk: "node-1-1" }, "test"));
    expect((await world.images.stat("disk", disk.id))?.sizeBytes).toBe(2 * imageBytes);
    expect(appliance.disks.get(project, "node-1-1").sizeBytes).toBe(2 * imageBytes);
    const again = { node: "node-1", disk: "node-1-1", sizeBytes: 4 * imageBytes };
    await expect(provision(appliance, again, "test")).rejects.toMatchObject({ code: "INVALID" });
  });
});

it("names the image to revert a blank disk to", async () => {
  await create("scratch");
  const revert = revertDisk(appliance, { project, disk: "scratch" }, "test");
  await expect(revert).rejects.toMatchObject({ code: "INVALID", details: { field: "image" } });
});

it("renames, and refuses a name in use", async () => {
  await create("one");
  await create("two");
  await expect(renameDisk(appliance, { project, disk: "one", name: "two" })).rejects.toMatchObject({ code: "EXISTS" });
  await expect(renameDisk(appliance, { project, disk: "one", name: "a/b" })).rejects.toMatchObject({ code: "INVALID" });
  const { id } = appliance.disks.get(project, "one");
  await renameDisk(appliance, { project, disk: "one", name: "three" });
  expect(appliance.disks.get(project, "three").id).toBe(id);
});

it("is called after its node by a name that can be one, however long that of the node is", async () => {
  const base = "n".repeat(63);
  for (const serial of [1, 2]) {
    const name = appliance.disks.freeName(project, base);
    expect(name).toMatch(new RegExp(`^n+-${serial}$`));
    await create(name);
  }
});

it("lists the disks that no node has, and since when", async () => {
  await withNode();
  await done(provision(appliance, { node: "node-1", image: "golden" }, "test"));
  await create("scratch");
  const names = async () => (await orphanDisks(appliance, project)).map(({ disk }) => disk.name);
  expect(await names()).toEqual(["scratch"]);
  await done(deprovision(appliance, { node: "node-1", disk: "keep", now: true }, "test"));
  expect(await names()).toEqual(["scratch", "node-1-1"]);
  await done(provision(appliance, { node: "node-1", disk: "node-1-1" }, "test"));
  expect(appliance.disks.get(project, "node-1-1").detachedAt).toBeUndefined();
});
