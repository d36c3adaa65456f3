import { afterEach, beforeEach, expect, it } from "vitest";
import type { DiskRecord } from "../../../src/disks/disk.ts";
import { incrementDisk } from "../../../src/drivers/images/image-exchange.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { ImageRecord } from "../../../src/images/image.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { findDrift } from "../../../src/operations/drift.ts";
import { flatten } from "../../../src/operations/flatten.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { importIncrement } from "../../../src/operations/import-increment.ts";
import { provision } from "../../../src/operations/provision.ts";
import { reconcile } from "../../../src/operations/reconcile.ts";
import type { Repair } from "../../../src/operations/repairs.ts";
import { targetIqn } from "../../../src/values/iqn.ts";
import { proveProcedures } from "./prove-procedures.ts";
import { newNode, nothingLeftBehind, settled, World } from "./world.ts";

const project = "default";
const signal = new AbortController().signal;
let world: World;
let appliance: Appliance;

beforeEach(async () => {
  world = new World();
  appliance = await world.start();
  await appliance.nodes.add(newNode("node-1", 1), "test");
  const request = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await settled(appliance, await importImage(appliance, request, "test"));
  await settled(appliance, await provision(appliance, { node: "node-1", image: "golden" }, "test"));
  await appliance.mirror.catchUp(signal);
});
afterEach(() => world.end());

const golden = () => appliance.images.get(project, "golden");
const root = () => appliance.disks.get(project, "node-1-1");
const kinds = async () => (await findDrift(appliance)).map(({ kind, id }) => [kind, id]);
const repaired = async (...repair: Repair[]) =>
  (await settled(appliance, await reconcile(appliance, { repair }, "test"))).state;
const commit = (collection: string, key: string, value: object | null) =>
  appliance.records.commit([{ collection, key, value }]);

it("finds nothing where all agree, and repairs nothing", async () => {
  expect(await findDrift(appliance)).toEqual([]);
  await expect(reconcile(appliance, { repair: ["content-missing"] }, "test")).rejects.toMatchObject({
    code: "CONFLICT",
  });
});

it("names a record without content, and drops it when told", async () => {
  const { id } = golden();
  world.images.contents.delete(`image/${id}`);
  expect(await kinds()).toEqual([["content-missing", id]]);
  await expect(reconcile(appliance, { repair: ["taken"] }, "test")).rejects.toMatchObject({ code: "CONFLICT" });
  expect(await repaired("content-missing")).toBe("done");
  expect(appliance.images.find(id)).toBeUndefined();
  expect(await findDrift(appliance)).toEqual([]);
});

it("drops no record of a disk that a node has", async () => {
  world.images.contents.delete(`disk/${root().id}`);
  expect(await repaired("content-missing")).toBe("undone");
  expect(root().node).toBeDefined();
});

it("leaves a record alone whose content is back when it is repaired", async () => {
  const { id } = golden();
  const content = world.images.contents.get(`image/${id}`)!;
  world.images.contents.delete(`image/${id}`);
  const beginning = reconcile(appliance, { repair: ["content-missing"] }, "test");
  const operation = await beginning;
  world.images.contents.set(`image/${id}`, content);
  await settled(appliance, operation);
  // whichever came first
  const isThere = appliance.images.find(id) !== undefined;
  expect((await kinds()).length).toBe(isThere ? 0 : 1);
});

it("names another size, and corrects the record when told", async () => {
  const { sizeBytes } = golden();
  await commit("images", golden().id, { ...golden(), sizeBytes: 1 });
  expect(await kinds()).toEqual([["size-differs", golden().id]]);
  expect(await repaired("size-differs")).toBe("done");
  expect(golden().sizeBytes).toBe(sizeBytes);
});

it("names what another appliance has adopted, and lets go of it when told", async () => {
  const { id } = golden();
  world.images.descriptions.set(id, { ...world.images.descriptions.get(id)!, appliance: "app-other" });
  expect(await kinds()).toEqual([["taken", id]]);
  expect(await repaired("taken")).toBe("done");
  expect(appliance.images.find(id)).toBeUndefined();
  expect([...world.images.contents.keys()]).toContain(`image/${id}`);
});

it("names content without a record: adopt is for that", async () => {
  const { id } = golden();
  await commit("images", id, null);
  expect(await kinds()).toEqual([["unrecorded", id]]);
  world.images.descriptions.delete(id);
  expect((await findDrift(appliance))[0]?.remedy).toContain(`--undescribed ${id}`);
});

it("names a disk that its node does not boot, and detaches it when told", async () => {
  const { id, node } = root();
  await world.targets.removeTarget(1, targetIqn("app-test", id));
  await commit("bootEntries", node!, null);
  expect(await kinds()).toEqual([["attachment", id]]);
  expect(await repaired("attachment")).toBe("done");
  expect(root().node).toBeUndefined();
});

it("names leftovers, and clears those that are its own when told", async () => {
  world.catalogue.leftovers = [
    { what: "unfinished", id: root().id, name: `new.${root().id}` },
    { what: "mark", id: "img-gone", name: `${root().id}@img-gone` },
    { what: "deleted", id: "disk-gone", name: "disk-gone" },
  ];
  expect(await kinds()).toEqual([
    ["leftover", `new.${root().id}`],
    ["leftover", `${root().id}@img-gone`],
  ]);
  expect(await repaired("leftover")).toBe("done");
  expect(world.catalogue.leftovers.map(({ what }) => what)).toEqual(["deleted"]);
});

it("has the disks that leftovers are of to itself, and leaves those alone that others are at", async () => {
  const { id } = root();
  const held: unknown[] = [];
  const watched = await world.start({
    before: (verb) => verb === "catalogue.clear" && held.push(watched.runner.holder(id)),
  });
  world.catalogue.leftovers = [{ what: "mark", id: "img-gone", name: `${id}@img-gone` }];
  const operation = await reconcile(watched, { repair: ["leftover"] }, "test");
  expect((await settled(watched, operation)).state).toBe("done");
  world.catalogue.leftovers = [{ what: "replaced", id, name: `old.${id}` }];
  const again = await reconcile(watched, { repair: ["leftover"] }, "test");
  expect((await settled(watched, again)).state).toBe("done");
  expect(held).toEqual([operation.id, again.id]);

  world.catalogue.leftovers = [{ what: "mark", id: "img-gone", name: `${id}@img-gone` }];
  world.images.flatten = () => new Promise(() => {});
  const busy = await flatten(watched, { project, kind: "disk", name: id }, "test");
  expect(await findDrift(watched)).toEqual([]);
  await watched.runner.cancel(busy.id);
  await watched.runner.settled(busy.id);
});

it("takes the disk that an increment goes into for no content without a record", async () => {
  let during: unknown;
  const applied = world.exchange.applyIncrement.bind(world.exchange);
  world.exchange.applyIncrement = async (increment) => {
    const disk = `disk/${incrementDisk(increment.image)}`;
    world.images.contents.set(disk, "in the making");
    during = await findDrift(appliance);
    world.images.contents.delete(disk);
    return applied(increment);
  };
  const request = { project, name: "monday", path: "/import/monday", onto: "golden" };
  expect(await settled(appliance, await importIncrement(appliance, request, "test"))).toMatchObject({ state: "done" });
  expect(during).toEqual([]);
});

it("takes a living appliance's unfinished work for no leftover", async () => {
  world.images.contents.set("image/img-other", "content");
  world.images.descriptions.set("img-other", {
    ...world.images.descriptions.get(golden().id)!,
    id: "img-other",
    appliance: "app-other",
  });
  world.catalogue.leftovers = [{ what: "unfinished", id: "disk-other", name: "new.disk-other" }];
  await world.poolLeases.take("appliance-app-other", "app-other", 60);
  expect(await kinds()).toEqual([]);
  await world.poolLeases.giveBack("appliance-app-other", "app-other");
  expect(await kinds()).toEqual([["leftover", "new.disk-other"]]);
});

it("names a target that a lost appliance made, and a boot entry without one", async () => {
  const iqn = targetIqn("app-test", root().id);
  const spec = world.targets.targets.get(iqn)!;
  await world.targets.removeTarget(1, iqn);
  await world.targets.ensureTarget(1, { ...spec, iqn: targetIqn("app-lost", root().id) });
  expect((await kinds()).sort()).toEqual([
    ["former-target", targetIqn("app-lost", root().id)],
    ["target-missing", root().id],
  ]);
});

it("repairs what it can be sure of, and tells of the pool's own failure", async () => {
  const { id } = golden();
  world.images.contents.delete(`image/${id}`);
  const failing = await world.start({
    before: (verb) => {
      if (verb === "poolLeases.take") throw new ApplianceError("DRIVER_FAILED", "no lease");
    },
  });
  const { state } = await settled(failing, await reconcile(failing, { repair: ["content-missing"] }, "test"));
  expect([state, failing.images.find(id) !== undefined]).toEqual(["undone", true]);
});

it("leaves all as it is until told", async () => {
  await findDrift(appliance);
  nothingLeftBehind(appliance, world);
});

it("gives its lease back when a repair fails", async () => {
  world.catalogue.leftovers = [{ what: "unfinished", id: root().id, name: `new.${root().id}` }];
  let isFailing = true;
  const other = await world.start({
    before: (verb) => {
      if (verb === "catalogue.clear" && isFailing) throw new ApplianceError("DRIVER_FAILED", "the pool fails");
    },
  });
  const repair = async () => settled(other, await reconcile(other, { repair: ["leftover"] }, "test"));
  expect((await repair()).state).toBe("undone");
  expect(await world.poolLeases.holder("reconcile")).toBeUndefined();
  isFailing = false;
  expect((await repair()).state).toBe("done");
});

const MOST: Repair[] = ["content-missing", "size-differs", "taken", "attachment", "leftover"];

proveProcedures({
  reconcile: {
    prepare: async (of, { images, catalogue }) => {
      await of.nodes.add(newNode("node-1", 1), "test");
      for (const name of ["golden", "lost", "longer", "adopted"]) {
        const request = { project, name, path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
        await settled(of, await importImage(of, request, "test"));
      }
      const node = of.nodes.list()[0]!.id;
      const change = (collection: string, record: { id: string }) =>
        of.records.commit([{ collection, key: record.id, value: record }]);
      await settled(of, await createDisk(of, { project, name: "data", sizeBytes: 1024 ** 2 }, "test"));
      await change("disks", { ...of.disks.get(project, "data"), node } as DiskRecord);
      await change("images", { ...of.images.get(project, "longer"), sizeBytes: 1 } as ImageRecord);
      await of.mirror.catchUp(signal);
      images.contents.delete(`image/${of.images.get(project, "lost").id}`);
      const { id } = of.images.get(project, "adopted");
      images.descriptions.set(id, { ...images.descriptions.get(id)!, appliance: "app-other" });
      const unfinished = of.images.get(project, "golden").id;
      catalogue.leftovers = [{ what: "unfinished", id: unfinished, name: `new.${unfinished}` }];
      expect((await findDrift(of)).map(({ kind }) => kind).sort()).toEqual([...MOST].sort());
    },
    begin: (of) => reconcile(of, { repair: MOST }, "test"),
    // what a failure or a crash left undone is repaired by the next one, which nothing keeps from it
    check: async (of, each, failed) => {
      if (failed !== "poolLeases.giveBack") expect(await each.poolLeases.holder("reconcile")).toBeUndefined();
      if ((await findDrift(of)).length > 0) {
        expect((await settled(of, await reconcile(of, { repair: MOST }, "test"))).state).toBe("done");
      }
      expect(await findDrift(of)).toEqual([]);
      expect(each.catalogue.leftovers).toEqual([]);
      for (const [id, { appliance: owner }] of each.images.descriptions) {
        if (owner === "app-other") each.images.contents.delete(`image/${id}`);
      }
      nothingLeftBehind(of, each);
    },
  },
});
