import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { startChores } from "../../../src/operations/chores.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { editImage, shareImage, transferImage } from "../../../src/operations/edit-image.ts";
import { flatten } from "../../../src/operations/flatten.ts";
import { createFlattenDeep } from "../../../src/operations/flatten-deep.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { importIncrement } from "../../../src/operations/import-increment.ts";
import { importRbd } from "../../../src/operations/import-rbd.ts";
import type { OperationRecord } from "../../../src/operations/operation.ts";
import { provision } from "../../../src/operations/provision.ts";
import { quotaOf, setQuota } from "../../../src/operations/quota.ts";
import { removeDisk } from "../../../src/operations/remove-disk.ts";
import { removeImage } from "../../../src/operations/remove-image.ts";
import { revertDisk } from "../../../src/operations/revert-disk.ts";
import { scheduleSnapshots, takeDueSnapshots } from "../../../src/operations/scheduled-snapshots.ts";
import { snapshotDisk } from "../../../src/operations/snapshot-disk.ts";
import { newNode, nothingLeftBehind, settled, World } from "./world.ts";

const project = "default";
const HOUR_MS = 3_600_000;
const { signal } = new AbortController();

let world: World;
let appliance: Appliance;
/** Throws where a test wants a driver to fail. */
let before: (verb: string) => void;
beforeEach(async () => {
  before = () => {};
  world = new World();
  appliance = await world.start({ before: (verb) => before(verb) });
});
afterEach(() => world.end());

async function done(beginning: Promise<OperationRecord>): Promise<void> {
  const operation = await settled(appliance, await beginning);
  expect(operation.state, JSON.stringify(operation.error)).toBe("done");
}

const create = (name: string, sizeBytes = 4096) => done(createDisk(appliance, { project, name, sizeBytes }, "test"));

/** The same appliance so many hours later. */
function later(hours: number): Appliance {
  const { clock } = appliance;
  return { ...appliance, clock: { ...clock, now: () => clock.now() + hours * HOUR_MS } };
}

it("does chores beside each other, again and again, whatever becomes of one", async () => {
  const rounds = { good: 0, bad: 0 };
  const good = Promise.withResolvers<void>();
  const bad = Promise.withResolvers<void>();
  const stop = startChores(
    {
      good: async () => {
        rounds.good += 1;
        if (rounds.good === 2) good.resolve();
      },
      bad: async () => {
        rounds.bad += 1;
        if (rounds.bad === 2) bad.resolve();
        throw new Error("no");
      },
      endless: () => new Promise(() => {}),
    },
    appliance,
  );
  await Promise.all([good.promise, bad.promise]);
  stop();
});

describe("scheduled snapshots", () => {
  const names = () => appliance.images.list(project).map(({ name }) => name);
  beforeEach(async () => {
    await create("web");
    await scheduleSnapshots(appliance, { project, disk: "web", schedule: { everySeconds: 3600, keep: 2 } });
  });

  it("are taken when due, and only as many stay, but for those in use", async () => {
    await done(snapshotDisk(appliance, { project, disk: "web", image: "by-hand" }, "test"));
    await takeDueSnapshots(appliance, signal);
    await takeDueSnapshots(appliance, signal);
    const [first] = names().filter((name) => name !== "by-hand");
    expect(first).toMatch(/^web-\d{8}-\d{4}$/);
    expect(names()).toHaveLength(2);
    await appliance.nodes.add(newNode("node-1", 1), "test");
    await done(provision(appliance, { node: "node-1", image: first! }, "test"));
    for (const hours of [1, 2, 3, 4]) await takeDueSnapshots(later(hours), signal);
    expect(names()).toHaveLength(4);
    expect(names()).toContain(first);
    expect(names()).toContain("by-hand");
    nothingLeftBehind(appliance, world);
  });

  it("say why one was not taken, until one is", async () => {
    before = (verb) => {
      if (verb === "images.snapshot") throw new ApplianceError("DRIVER_FAILED", "no luck");
    };
    await takeDueSnapshots(appliance, signal);
    expect(appliance.disks.get(project, "web").schedule?.failure?.message).toBe("no luck");
    await takeDueSnapshots(appliance, signal);
    expect(appliance.runner.list().filter(({ kind }) => kind === "snapshot")).toHaveLength(1);
    before = () => {};
    await takeDueSnapshots(later(1), signal);
    expect(appliance.disks.get(project, "web").schedule).not.toHaveProperty("failure");
    expect(names()).toHaveLength(1);
  });

  it("stay once people have renamed, shared or transferred them", async () => {
    await appliance.projects.add({ name: "lab" }, "test");
    const mine: ((image: string) => Promise<{ id: string }>)[] = [
      (image) => editImage(appliance, { project, image, name: "before-the-upgrade" }),
      (image) => shareImage(appliance, { project, image, projects: ["lab"], public: false }, () => true),
      (image) => shareImage(appliance, { project, image, projects: [], public: true }, () => true),
      (image) => transferImage(appliance, { project, image, to: "lab" }),
    ];
    const kept: string[] = [];
    for (const [hours, make] of mine.entries()) {
      await takeDueSnapshots(later(hours), signal);
      const newest = appliance.images.list(project).sort((a, b) => b.createdAt - a.createdAt)[0];
      kept.push((await make(newest!.id)).id);
    }
    await takeDueSnapshots(later(mine.length), signal);
    const described = names().at(-1) as string;
    await editImage(appliance, { project, image: described, name: described, description: "nightly" });
    for (const more of [1, 2]) await takeDueSnapshots(later(mine.length + more), signal);
    for (const id of kept) expect(appliance.images.find(id)).toMatchObject({ ready: true });
    expect(names()).not.toContain(described);
    expect(appliance.images.list()).toHaveLength(kept.length + 2);
  });

  it("go by the schedule that the disk has when it is their turn", async () => {
    for (const hours of [0, 1]) await takeDueSnapshots(later(hours), signal);
    const kept = names();
    const change = (schedule?: { everySeconds: number; keep: number }) =>
      scheduleSnapshots(appliance, { project, disk: "web", ...(schedule ? { schedule } : {}) });
    before = (verb) => verb === "images.snapshot" && void change({ everySeconds: 3600, keep: 3 });
    await takeDueSnapshots(later(2), signal);
    expect(names()).toEqual(expect.arrayContaining(kept));
    before = (verb) => verb === "images.snapshot" && void change();
    await takeDueSnapshots(later(3), signal);
    expect(names()).toHaveLength(4);
  });

  it("that are too many stay, where people make them their own while others are removed", async () => {
    for (const hours of [0, 1]) await takeDueSnapshots(later(hours), signal);
    await scheduleSnapshots(appliance, { project, disk: "web", schedule: { everySeconds: 3600, keep: 1 } });
    const [oldest, next] = appliance.images.list(project).sort((a, b) => a.createdAt - b.createdAt);
    let isFirst = true;
    before = (verb) => {
      if (verb !== "images.remove" || !isFirst) return;
      isFirst = false;
      const image = appliance.images.find(next!.id)?.ready === false ? oldest! : next!;
      void editImage(appliance, { project, image: image.id, name: "mine" });
    };
    await takeDueSnapshots(later(2), signal);
    expect(names()).toContain("mine");
    expect(names()).toHaveLength(2);
  });

  it("do not wait for what gives way to them", async () => {
    world.images.flatten = () => new Promise(() => {});
    await flatten(appliance, { project, kind: "disk", name: "web", yields: true }, "ingot");
    await takeDueSnapshots(appliance, signal);
    expect(names()).toHaveLength(1);
  });

  it("end with their schedule", async () => {
    await scheduleSnapshots(appliance, { project, disk: "web" });
    await takeDueSnapshots(later(100), signal);
    expect(names()).toEqual([]);
  });
});

it("takes an adoption that was cancelled back once its end was waited for", async () => {
  const begun = Promise.withResolvers<void>();
  let ended: Promise<void> = Promise.resolve();
  world.exchange.adoptRbd = async ({ image }, cancelled) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    ended = promise;
    begun.resolve();
    await new Promise((done) => cancelled.addEventListener("abort", done, { once: true }));
    // what was on its way to the cluster arrives there
    await appliance.clock.sleep(5);
    world.images.contents.set(`image/${image}`, "a volume");
    resolve();
    throw new ApplianceError("CANCELLED", "cancelled");
  };
  world.exchange.endAdoption = () => ended;
  const operation = await importRbd(appliance, { project, name: "web", source: "vms/web", phonesHome: false }, "test");
  await begun.promise;
  await appliance.runner.cancel(operation.id);
  expect(await settled(appliance, operation)).toMatchObject({ state: "undone" });
  nothingLeftBehind(appliance, world);
});

describe("the flattening of deep chains", () => {
  /** A snapshot of a disk of a snapshot of a disk, …: the last of them is so deep. */
  async function chain(depth: number): Promise<void> {
    await appliance.nodes.add(newNode("node-1", 1), "test");
    const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
    await done(importImage(appliance, golden, "test"));
    await done(provision(appliance, { node: "node-1", image: "golden" }, "test"));
    const disk = appliance.disks.get(project, "node-1-1");
    await appliance.records.commit([{ collection: "disks", key: disk.id, value: { ...disk, depth: depth - 1 } }]);
    await done(snapshotDisk(appliance, { project, disk: "node-1-1", image: "deep" }, "test"));
  }
  const inCeph = () => ({
    ...appliance,
    config: { ...appliance.config, pool: { ...appliance.config.pool, store: "rbd" as const } },
  });

  it("begins beyond the limit, and only in Ceph", async () => {
    await chain(appliance.config.disks.maxChainDepth + 1);
    expect(appliance.images.get(project, "deep").depth).toBe(appliance.config.disks.maxChainDepth + 1);
    await createFlattenDeep(appliance)(signal);
    expect(world.images.flat.size).toBe(0);
    await createFlattenDeep(inCeph())(signal);
    const { id, depth } = appliance.images.get(project, "deep");
    expect([...world.images.flat]).toEqual([`image/${id}`]);
    expect(depth).toBe(0);
  });

  it("knows how deep an import is that shares content", async () => {
    const web = { project, name: "web", source: "vms/web", phonesHome: false };
    await done(importRbd(appliance, web, "test"));
    const monday = { project, name: "monday", path: "/import/monday", onto: "web" };
    await done(importIncrement(appliance, monday, "test"));
    expect(["web", "monday"].map((name) => appliance.images.get(project, name).depth)).toEqual([1, 3]);
  });

  it("gives way to whoever wants the disk", async () => {
    await create("web");
    world.images.flatten = () => new Promise(() => {});
    const what = { project, kind: "disk", name: "web" } as const;
    const background = await flatten(appliance, { ...what, yields: true }, "ingot");
    await done(snapshotDisk(appliance, { project, disk: "web", image: "snap" }, "test"));
    expect(appliance.runner.get(background.id).state).toBe("undone");
    const asked = await flatten(appliance, what, "test");
    const refused = snapshotDisk(appliance, { project, disk: "web", image: "other" }, "test");
    await expect(refused).rejects.toMatchObject({ code: "BUSY" });
    await appliance.runner.cancel(asked.id);
    expect((await appliance.runner.settled(asked.id)).state).toBe("undone");
  });

  it("gives way to whoever removes the image", async () => {
    await create("web");
    await done(snapshotDisk(appliance, { project, disk: "web", image: "deep" }, "test"));
    world.images.flatten = () => new Promise(() => {});
    const what = { project, kind: "image", name: "deep" } as const;
    const background = await flatten(appliance, { ...what, yields: true }, "ingot");
    await done(removeImage(appliance, { project, image: "deep" }, "test"));
    expect(appliance.runner.get(background.id).state).toBe("undone");
    nothingLeftBehind(appliance, world);
  });

  it("is waited for before names and quotas are looked at", async () => {
    await create("web");
    await setQuota(appliance, project, { images: 1 });
    world.images.flatten = () => new Promise(() => {});
    await flatten(appliance, { project, kind: "disk", name: "web", yields: true }, "ingot");
    const snapshot = snapshotDisk(appliance, { project, disk: "web", image: "snap" }, "test");
    // begins while the snapshot waits
    const golden = { project, name: "snap", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
    const other = importImage(appliance, golden, "test");
    await expect(snapshot).rejects.toMatchObject({ code: "EXISTS" });
    await done(other);
    expect(appliance.images.list(project)).toHaveLength(1);
  });
});

describe("a quota", () => {
  it("is checked when something begins, with what is under way and deleted", async () => {
    await setQuota(appliance, project, { disks: 2, bytes: 10_240 });
    await create("one");
    const two = createDisk(appliance, { project, name: "two", sizeBytes: 4096 }, "test");
    const three = createDisk(appliance, { project, name: "three", sizeBytes: 512 }, "test");
    await expect(three).rejects.toMatchObject({ code: "QUOTA", details: { field: "disks", used: 2, limit: 2 } });
    await done(two);
    await setQuota(appliance, project, { disks: null });
    const large = createDisk(appliance, { project, name: "large", sizeBytes: 4096 }, "test");
    await expect(large).rejects.toMatchObject({
      code: "QUOTA",
      details: { field: "bytes", used: 8192, limit: 10_240 },
    });
    await done(removeDisk(appliance, { project, disk: "one" }, "test"));
    expect(quotaOf(appliance, project).used).toEqual({ nodes: 0, disks: 2, images: 0, networks: 0, bytes: 8192 });
    await expect(setQuota(appliance, "nobody", { disks: 1 })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("ends an import whose content is too much, and nothing is left of it", async () => {
    await setQuota(appliance, project, { bytes: 1000 });
    const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
    const operation = await settled(appliance, await importImage(appliance, golden, "test"));
    expect(operation).toMatchObject({ state: "undone", error: { code: "QUOTA" } });
    nothingLeftBehind(appliance, world);
    await setQuota(appliance, project, { images: 0 });
    await expect(importImage(appliance, golden, "test")).rejects.toMatchObject({ code: "QUOTA" });
  });

  it("holds for imports that end at the same moment", async () => {
    await setQuota(appliance, project, { bytes: 1024 ** 2 });
    const importContent = world.images.import.bind(world.images);
    const both = Promise.withResolvers<void>();
    let arrived = 0;
    world.images.import = async (...request: Parameters<typeof importContent>) => {
      const result = await importContent(...request);
      arrived += 1;
      if (arrived === 2) both.resolve();
      await both.promise;
      return result;
    };
    const golden = { project, path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
    const begun = await Promise.all(["one", "two"].map((name) => importImage(appliance, { ...golden, name }, "test")));
    const ended = await Promise.all(begun.map((operation) => settled(appliance, operation)));
    expect(ended.map(({ state }) => state).sort()).toEqual(["done", "undone"]);
    expect(quotaOf(appliance, project).used).toMatchObject({ images: 1, bytes: 1024 ** 2 });
    nothingLeftBehind(appliance, world);
  });

  describe("of bytes or images", () => {
    const MIB = 1024 ** 2;
    const web = { project, name: "web", source: "vms/web", phonesHome: false };
    const monday = { project, name: "monday", path: "/import/monday", onto: "golden" };
    beforeEach(async () => {
      const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
      await done(importImage(appliance, golden, "test"));
    });

    it("holds for volumes of Ceph", async () => {
      await setQuota(appliance, project, { images: 1 });
      await expect(importRbd(appliance, web, "test")).rejects.toMatchObject({ code: "QUOTA" });
      await setQuota(appliance, project, { images: null, bytes: 2 * MIB - 1 });
      const operation = await settled(appliance, await importRbd(appliance, web, "test"));
      expect(operation).toMatchObject({ state: "undone", error: { code: "QUOTA" } });
      nothingLeftBehind(appliance, world);
    });

    it("holds for increments", async () => {
      await setQuota(appliance, project, { images: 1 });
      await expect(importIncrement(appliance, monday, "test")).rejects.toMatchObject({ code: "QUOTA" });
      await setQuota(appliance, project, { images: null, bytes: 2 * MIB - 1 });
      await expect(importIncrement(appliance, monday, "test")).rejects.toMatchObject({ code: "QUOTA" });
      await setQuota(appliance, project, { bytes: 2 * MIB });
      world.exchange.applyIncrement = async ({ image }) => {
        world.images.contents.set(`image/${image}`, "longer than its base");
        return { sizeBytes: 2 * MIB, sha256: "0".repeat(64) };
      };
      const operation = await settled(appliance, await importIncrement(appliance, monday, "test"));
      expect(operation).toMatchObject({ state: "undone", error: { code: "QUOTA" } });
      nothingLeftBehind(appliance, world);
    });

    it("holds for a revert to a longer image, which counts from its beginning until it is undone", async () => {
      await create("short");
      const revert = () => revertDisk(appliance, { project, disk: "short", image: "golden" }, "test");
      await setQuota(appliance, project, { bytes: 2 * MIB - 1 });
      await expect(revert()).rejects.toMatchObject({ code: "QUOTA", details: { value: MIB - 4096 } });
      await setQuota(appliance, project, { bytes: 2 * MIB });
      let usedThen: number | undefined;
      before = (verb) => {
        if (verb !== "images.revert" || usedThen !== undefined) return;
        usedThen = quotaOf(appliance, project).used.bytes;
        throw new ApplianceError("DRIVER_FAILED", "no luck");
      };
      expect(await settled(appliance, await revert())).toMatchObject({ state: "undone" });
      expect([usedThen, quotaOf(appliance, project).used.bytes]).toEqual([2 * MIB, MIB + 4096]);
      await done(revert());
      expect(appliance.disks.get(project, "short").sizeBytes).toBe(MIB);
    });
  });
});
