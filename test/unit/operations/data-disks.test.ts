import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { type AttachRequest, attachDisk } from "../../../src/operations/attach-disk.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { type DetachRequest, detachDisk } from "../../../src/operations/detach-disk.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { powerNode } from "../../../src/operations/power-node.ts";
import { type ProvisionRequest, provision } from "../../../src/operations/provision.ts";
import { removeDisk } from "../../../src/operations/remove-disk.ts";
import { revertDisk } from "../../../src/operations/revert-disk.ts";
import { snapshotDisk } from "../../../src/operations/snapshot-disk.ts";
import { TargetWatch } from "../../../src/operations/target-watch.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { targetIqn } from "../../../src/values/iqn.ts";
import { done, proveProcedures, type Scenario } from "./prove-procedures.ts";
import { newNode, nothingLeftBehind, settled, World } from "./world.ts";

const project = "default";

const attach = (appliance: Appliance, disk: string, node: string, more: Partial<AttachRequest> = {}) =>
  attachDisk(appliance, { project, disk, node, ...more }, "test");
const detach = (appliance: Appliance, disk: string, more: Partial<DetachRequest> = {}) =>
  detachDisk(appliance, { project, disk, ...more }, "test");
const boot = (appliance: Appliance, node: string, more: Partial<ProvisionRequest> = { image: "golden" }) =>
  provision(appliance, { node, ...more }, "test");
const release = (appliance: Appliance, node: string) =>
  deprovision(appliance, { node, disk: "keep", now: false }, "test");
const diskOf = (appliance: Appliance, name: string) => appliance.disks.get(project, name);
const idOf = (appliance: Appliance, node: string) => appliance.nodes.get(node).id;

/** Three nodes, and an image. */
async function withImage(appliance: Appliance): Promise<void> {
  for (const last of [1, 2, 3]) await appliance.nodes.add(newNode(`node-${last}`, last), "test");
  const image = { project, name: "golden", path: "/import/golden.raw", format: "raw" as const, phonesHome: false };
  await done(appliance, importImage(appliance, image, "test"));
}

/** Makes a disk that nobody has. */
async function makeDisk(appliance: Appliance, name: string): Promise<void> {
  const { id: image, sizeBytes } = appliance.images.get(project, "golden");
  const id = `disk-${name}`;
  await appliance.store.clone(image, id, AbortSignal.timeout(5000));
  const value = { id, name, project, image, sizeBytes, clean: true, createdAt: 0, requestedBy: "test" };
  await appliance.records.commit([{ collection: "disks", key: id, value }]);
}

/** One is there: `results`. */
async function withFreeDisk(appliance: Appliance): Promise<void> {
  await withImage(appliance);
  await makeDisk(appliance, "results");
}

/** node-2 runs beside it. */
async function withBoth(appliance: Appliance): Promise<void> {
  await withFreeDisk(appliance);
  await done(appliance, boot(appliance, "node-2"));
}

/** node-2 has it at LUN 2. */
async function withAttached(appliance: Appliance): Promise<void> {
  await withFreeDisk(appliance);
  await done(appliance, boot(appliance, "node-2", { image: "golden", data: ["results"] }));
}

async function withTwoRunning(appliance: Appliance): Promise<void> {
  await withImage(appliance);
  for (const node of ["node-1", "node-2"]) await done(appliance, boot(appliance, node));
}

async function withAttachedAndOff(appliance: Appliance): Promise<void> {
  await withAttached(appliance);
  await done(appliance, powerNode(appliance, { node: "node-2", action: "off" }, "test"));
}

const scenarios: Record<string, Scenario> = {
  attach: { prepare: withBoth, begin: (appliance) => attach(appliance, "results", "node-2") },
  "attach the disk of another node, read-only": {
    prepare: withTwoRunning,
    begin: (appliance) => attach(appliance, "node-1-1", "node-2", { readOnly: true, forceOff: true }),
  },
  "detach from a node that is off": {
    prepare: withAttachedAndOff,
    begin: (appliance) => detach(appliance, "results"),
  },
  "detach from a node that let go of it": {
    prepare: withAttached,
    begin: (appliance) => detach(appliance, "results", { unmounted: true }),
  },
  "provision with a data disk": {
    prepare: withFreeDisk,
    begin: (appliance) => boot(appliance, "node-2", { image: "golden", data: ["results"] }),
  },
  "provision with the disk of another node that has a data disk": {
    prepare: withAttached,
    begin: (appliance) => boot(appliance, "node-3", { disk: "node-2-1", forceOff: true }),
  },
  "deprovision with a data disk": { prepare: withAttached, begin: (appliance) => release(appliance, "node-2") },
};

proveProcedures(scenarios);

let world: World;
let appliance: Appliance;
beforeEach(async () => {
  world = new World();
  appliance = await world.start();
});
afterEach(() => world.end());

/** LUNs of the target of a node. */
function served(node: string) {
  const entry = appliance.records.collection<BootEntry>("bootEntries").get(idOf(appliance, node));
  return world.targets.targets.get(entry?.iqn ?? "")?.units.map(({ lun, disk, readOnly }) => ({ lun, disk, readOnly }));
}

describe("a data disk", () => {
  it("is a LUN of its node's target, under the session that is there", async () => {
    await withBoth(appliance);
    const sessions = [...world.targets.sessions];
    await done(appliance, attach(appliance, "results", "node-2"));
    expect(served("node-2")).toEqual([
      { lun: 1, disk: diskOf(appliance, "node-2-1").id, readOnly: false },
      { lun: 2, disk: diskOf(appliance, "results").id, readOnly: false },
    ]);
    expect([...world.targets.sessions]).toEqual(sessions);
    expect(diskOf(appliance, "results")).toMatchObject({ clean: false, dataLun: { lun: 2, readOnly: false } });
  });

  it("gets the LUN that is asked for, or the lowest free one", async () => {
    await withBoth(appliance);
    for (const name of ["two", "three"]) await makeDisk(appliance, name);
    await done(appliance, attach(appliance, "results", "node-2", { lun: 3 }));
    await done(appliance, attach(appliance, "two", "node-2"));
    await expect(attach(appliance, "three", "node-2", { lun: 3 })).rejects.toMatchObject({ code: "IN_USE" });
    for (const lun of [0, 1, 256, 2.5]) {
      await expect(attach(appliance, "three", "node-2", { lun })).rejects.toMatchObject({
        code: "INVALID",
        details: { field: "lun", value: lun },
      });
    }
    await done(appliance, attach(appliance, "three", "node-2"));
    expect(served("node-2")?.map(({ lun }) => lun)).toEqual([1, 2, 3, 4]);
  });

  it("is refused to a node that boots nothing, with the way to have it at its next boot", async () => {
    await withFreeDisk(appliance);
    await expect(attach(appliance, "results", "node-2")).rejects.toMatchObject({
      code: "CONFLICT",
      details: { remedy: "ingot provision node-2 --image IMAGE --data results" },
    });
    await done(appliance, boot(appliance, "node-2", { image: "golden", data: ["results"] }));
    expect(served("node-2")?.map(({ lun }) => lun)).toEqual([1, 2]);
  });

  it("has one node, and is nobody's root meanwhile, nor removed", async () => {
    await withAttached(appliance);
    const taken = { code: "IN_USE", details: { remedy: "ingot disk detach results" } };
    await done(appliance, boot(appliance, "node-1"));
    for (const forceOff of [false, true]) {
      await expect(attach(appliance, "results", "node-1", { forceOff })).rejects.toMatchObject(taken);
      await expect(boot(appliance, "node-3", { disk: "results", forceOff })).rejects.toMatchObject(taken);
    }
    await expect(boot(appliance, "node-3", { image: "golden", data: ["results"] })).rejects.toMatchObject(taken);
    await expect(removeDisk(appliance, { project, disk: "results" }, "test")).rejects.toMatchObject(taken);
    nothingLeftBehind(appliance, world);
  });

  it("is not the disk that its node boots, and is named once", async () => {
    await withBoth(appliance);
    await expect(attach(appliance, "node-2-1", "node-2", { forceOff: true })).rejects.toMatchObject({ code: "IN_USE" });
    await expect(detach(appliance, "node-2-1")).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(detach(appliance, "results")).rejects.toMatchObject({ code: "CONFLICT" });
    for (const data of [["results"], ["node-2-1", "node-2-1"]]) {
      await expect(boot(appliance, "node-3", { disk: "results", data })).rejects.toMatchObject({
        details: { field: "data" },
      });
    }
  });

  it("stays where it is while its node is on, unless somebody says that it was unmounted", async () => {
    await withAttached(appliance);
    const refused = await settled(appliance, await detach(appliance, "results"));
    expect(refused).toMatchObject({ state: "undone", error: { code: "CONFLICT" } });
    expect(served("node-2")).toHaveLength(2);
    await done(appliance, detach(appliance, "results", { unmounted: true }));
    expect(served("node-2")).toHaveLength(1);
    expect(diskOf(appliance, "results")).toMatchObject({ clean: true });
    expect(world.power.get(idOf(appliance, "node-2"))?.state).toBe("on");
  });

  it("is kept when its node is released, clean as its root", async () => {
    await withAttached(appliance);
    await done(appliance, deprovision(appliance, { node: "node-2", disk: "delete", now: false }, "test"));
    expect(appliance.disks.list().map(({ name }) => name)).toEqual(["results"]);
    const { node, dataLun, clean } = diskOf(appliance, "results");
    expect({ node, dataLun, clean }).toEqual({ node: undefined, dataLun: undefined, clean: true });
  });

  it("moves with the root disk of its node when that is taken", async () => {
    await withAttached(appliance);
    await done(appliance, boot(appliance, "node-3", { disk: "node-2-1", forceOff: true }));
    expect(served("node-3")?.map(({ disk }) => disk)).toEqual(
      ["node-2-1", "results"].map((name) => diskOf(appliance, name).id),
    );
    nothingLeftBehind(appliance, world);
  });

  it("is reverted while its node is off, and served again", async () => {
    await withAttached(appliance);
    const revert = () => revertDisk(appliance, { project, disk: "results" }, "test");
    expect((await settled(appliance, await revert())).error).toMatchObject({ code: "CONFLICT" });
    await done(appliance, powerNode(appliance, { node: "node-2", action: "off" }, "test"));
    await done(appliance, revert());
    expect(served("node-2")).toHaveLength(2);
    nothingLeftBehind(appliance, world);
  });

  it("is snapshotted while its node runs", async () => {
    await withAttached(appliance);
    await done(appliance, snapshotDisk(appliance, { project, disk: "results", image: "snap" }, "test"));
    expect(appliance.images.get(project, "snap").origin).toMatchObject({ clean: false });
  });
});

describe("a data disk whose content is lost", () => {
  /** node-2 has it at LUN 2, and its daemon was restarted since. */
  async function withLost() {
    await withAttached(appliance);
    await makeDisk(appliance, "two");
    lose("results");
    const [iqn, target] = [...world.targets.targets][0]!;
    world.targets.targets.set(iqn, { ...target, units: target.units.slice(0, 1) });
  }
  const lose = (name: string) => world.targets.lost.add(`/memory/disks/${diskOf(appliance, name).id}`);

  it("is detached", async () => {
    await withLost();
    await done(appliance, detach(appliance, "results", { unmounted: true }));
    expect(diskOf(appliance, "results").node).toBeUndefined();
    expect(served("node-2")?.map(({ lun }) => lun)).toEqual([1]);
    nothingLeftBehind(appliance, world);
  });

  it("hinders no other disk of its node from coming and going", async () => {
    await withLost();
    await done(appliance, attach(appliance, "two", "node-2"));
    expect(served("node-2")?.map(({ lun }) => lun)).toEqual([1, 3]);
    await done(appliance, detach(appliance, "two", { unmounted: true }));
    expect(served("node-2")?.map(({ lun }) => lun)).toEqual([1]);
  });

  it("is not attached, and nothing is left of the attempt", async () => {
    await withBoth(appliance);
    lose("results");
    const { state, error } = await settled(appliance, await attach(appliance, "results", "node-2"));
    expect([state, error]).toMatchObject(["undone", { code: "DRIVER_FAILED", details: { luns: [2] } }]);
    expect(diskOf(appliance, "results").node).toBeUndefined();
    nothingLeftBehind(appliance, world);
  });
});

describe("a disk that a lost appliance's target serves still", () => {
  /** The machine of that appliance has it at LUN 2, read-only. */
  const serveFormerly = (...names: string[]) => {
    const iqn = targetIqn("app-lost", diskOf(appliance, names[0]!).id);
    const units = names.map((name, at) => {
      const { id } = diskOf(appliance, name);
      return { lun: at + 1, disk: id, backing: { type: "file" as const, path: `/memory/disks/${id}` }, readOnly: true };
    });
    const openTo = "10.0.0.9" as Ipv4;
    world.targets.targets.set(iqn, { iqn, units, openTo, chap: { user: "u", secret: "secretsecret1" } });
    return iqn;
  };

  it.each([false, true])("is not attached beside it (read-only: %s)", async (readOnly) => {
    await withBoth(appliance);
    const iqn = serveFormerly("results");
    const { state, error } = await settled(appliance, await attach(appliance, "results", "node-2", { readOnly }));
    expect([state, error]).toMatchObject(["undone", { code: "IN_USE", details: { iqn } }]);
    expect(served("node-2")).toHaveLength(1);
    world.targets.targets.delete(iqn);
    nothingLeftBehind(appliance, world);
  });

  it("is no node's data disk beside it", async () => {
    await withFreeDisk(appliance);
    const iqn = serveFormerly("results");
    const request = { image: "golden", data: ["results"] };
    const { state, error } = await settled(appliance, await boot(appliance, "node-2", request));
    expect([state, error]).toMatchObject(["undone", { code: "IN_USE", details: { iqn } }]);
    world.targets.targets.delete(iqn);
    nothingLeftBehind(appliance, world);
  });

  it("comes along when its machine is provisioned with the root that the same target serves", async () => {
    await withFreeDisk(appliance);
    await makeDisk(appliance, "root");
    const iqn = serveFormerly("root", "results");
    // time flies while its machine is awaited to fall silent
    let skippedMs = 0;
    const { sleep } = appliance.clock;
    Object.assign(appliance.clock, {
      now: () => Date.now() + (world.targets.targets.has(iqn) ? skippedMs : 0),
      sleep: (ms: number, signal: AbortSignal) => {
        skippedMs += ms;
        return sleep(ms, signal);
      },
    });
    await done(appliance, boot(appliance, "node-2", { disk: "root", data: ["results"] }));
    expect(world.targets.targets.has(iqn)).toBe(false);
    expect(served("node-2")).toHaveLength(2);
  });
});

describe("the root disk of a failed node", () => {
  it("is attached read-only elsewhere once that node is off, and given back after", async () => {
    await withTwoRunning(appliance);
    await expect(attach(appliance, "node-1-1", "node-2", { readOnly: true })).rejects.toMatchObject({ code: "IN_USE" });
    await done(appliance, attach(appliance, "node-1-1", "node-2", { readOnly: true, forceOff: true }));
    expect(world.power.get(idOf(appliance, "node-1"))?.state).toBe("off");
    expect(served("node-1")).toBeUndefined();
    expect(served("node-2")).toContainEqual({ lun: 2, disk: diskOf(appliance, "node-1-1").id, readOnly: true });
    await expect(boot(appliance, "node-1", { disk: "node-1-1" })).rejects.toMatchObject({ code: "IN_USE" });
    await done(appliance, detach(appliance, "node-1-1", { unmounted: true }));
    // nobody saw its last writer shut down
    expect(diskOf(appliance, "node-1-1").clean).toBe(false);
    await done(appliance, boot(appliance, "node-1", { disk: "node-1-1" }));
    nothingLeftBehind(appliance, world);
  });

  it("is not touched while that node can't be seen off, unless somebody saw it", async () => {
    await withTwoRunning(appliance);
    const real = appliance.powerOf;
    appliance.powerOf = (node) => {
      if (node.name === "node-1") throw new Error("the BMC is dead");
      return real(node);
    };
    const request = { readOnly: true, forceOff: true };
    const failed = await settled(appliance, await attach(appliance, "node-1-1", "node-2", request));
    expect(failed.state).toBe("undone");
    expect(served("node-1")).toHaveLength(1);
    expect(served("node-2")).toHaveLength(1);
    nothingLeftBehind(appliance, world);
    await done(appliance, attach(appliance, "node-1-1", "node-2", { ...request, seenOff: true }));
    expect(served("node-2")).toHaveLength(2);
  });
});

describe("the watch over targets", () => {
  it("makes a target with all of its LUNs again, and takes away what no record has", async () => {
    await withAttached(appliance);
    const units = served("node-2");
    const [iqn] = world.targets.targets.keys();
    const spec = world.targets.targets.get(iqn!)!;
    const watch = new TargetWatch(appliance);
    watch.start();
    try {
      for (const wrong of [spec.units.slice(0, 1), [...spec.units, { ...spec.units[1]!, lun: 9 }]]) {
        world.targets.targets.set(iqn!, { ...spec, units: wrong });
        await expect.poll(() => served("node-2"), { interval: 5 }).toEqual(units);
      }
      world.targets.targets.clear();
      await expect.poll(() => served("node-2"), { interval: 5 }).toEqual(units);
      await done(appliance, detach(appliance, "results", { unmounted: true }));
      world.targets.targets.clear();
      await expect.poll(() => served("node-2"), { interval: 5 }).toEqual(units?.slice(0, 1));
    } finally {
      await watch.stop();
    }
  });

  it("never brings back a target that is being taken from its node", async () => {
    await withTwoRunning(appliance);
    let looks = 0;
    let looked = () => {};
    const [list, remove] = [world.targets.list, world.targets.removeTarget];
    world.targets.list = async function (this: typeof world.targets) {
      looks += 1;
      looked();
      return list.call(this);
    };
    world.targets.removeTarget = async function (this: typeof world.targets, control, iqn) {
      await remove.call(this, control, iqn);
      // a look that began after the removal has ended once the next one begins
      const last = looks + 2;
      await new Promise<void>((resolve) => {
        looked = () => looks >= last && resolve();
      });
    };
    const watch = new TargetWatch(appliance);
    watch.start();
    try {
      await done(appliance, attach(appliance, "node-1-1", "node-2", { forceOff: true }));
    } finally {
      await watch.stop();
    }
    expect(served("node-1")).toBeUndefined();
    nothingLeftBehind(appliance, world);
  });
});
