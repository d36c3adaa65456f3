import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { copyImage } from "../../../src/operations/copy-image.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { exportImage } from "../../../src/operations/export-image.ts";
import { flatten } from "../../../src/operations/flatten.ts";
import { growPool } from "../../../src/operations/grow-pool.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { importIncrement } from "../../../src/operations/import-increment.ts";
import { importRbd } from "../../../src/operations/import-rbd.ts";
import { limitDisk } from "../../../src/operations/limit-disk.ts";
import { powerNode } from "../../../src/operations/power-node.ts";
import { provision } from "../../../src/operations/provision.ts";
import { purgeDisk, removeDisk } from "../../../src/operations/remove-disk.ts";
import { removeImage } from "../../../src/operations/remove-image.ts";
import { retryOperation } from "../../../src/operations/retry-operation.ts";
import { revertDisk } from "../../../src/operations/revert-disk.ts";
import { snapshotDisk } from "../../../src/operations/snapshot-disk.ts";
import { Uploads } from "../../../src/operations/uploads.ts";
import type { Journal } from "../../../src/store/journal.ts";
import type { IoLimitsChange } from "../../../src/values/io-limits.ts";
import { journalWithAppend } from "../../fakes/journal-with-append.ts";
import { done, proveProcedures, type Scenario } from "./prove-procedures.ts";
import { newNode, nothingLeftBehind, settled, World } from "./world.ts";

const project = "default";

const UPLOAD = { project, name: "golden", format: "raw", compression: "none", sizeBytes: 7, phonesHome: true } as const;

const golden = (appliance: Appliance) =>
  importImage(
    appliance,
    { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true },
    "test",
  );

async function withImage(appliance: Appliance): Promise<void> {
  await appliance.nodes.add(newNode("node-1", 1), "test");
  await appliance.nodes.add(newNode("node-2", 2), "test");
  await done(appliance, golden(appliance));
}

async function withProvisioned(appliance: Appliance): Promise<void> {
  await withImage(appliance);
  await done(appliance, provision(appliance, { node: "node-1", image: "golden" }, "test"));
}

async function withKeptDisk(appliance: Appliance): Promise<void> {
  await withProvisioned(appliance);
  await done(appliance, deprovision(appliance, { node: "node-1", disk: "keep", now: false }, "test"));
}

const limit = (appliance: Appliance, change: IoLimitsChange) =>
  limitDisk(appliance, { project, disk: "node-1-1", change }, "test");

async function withLimited(appliance: Appliance): Promise<void> {
  await withProvisioned(appliance);
  await done(appliance, limit(appliance, { iops: 500, bytesPerSecond: 8 * 1024 ** 2 }));
}

async function withNodeOff(appliance: Appliance): Promise<void> {
  await withProvisioned(appliance);
  await done(appliance, powerNode(appliance, { node: "node-1", action: "off" }, "test"));
}

const scenarios: Record<string, Scenario> = {
  import: { prepare: async () => {}, begin: golden },
  "import from a URL": {
    prepare: async () => {},
    begin: (appliance) =>
      importImage(
        appliance,
        {
          project,
          name: "golden",
          url: "https://user:secret@example.org/golden.raw?key=1",
          format: "raw",
          phonesHome: true,
        },
        "test",
      ),
  },
  "import of an upload": {
    prepare: async (appliance) => {
      const uploads = new Uploads(appliance);
      await uploads.begin(UPLOAD, "test");
      await uploads.receive(project, "golden", { from: 0, body: Readable.from([Buffer.alloc(7)]) });
    },
    begin: (appliance) => new Uploads(appliance).finish(project, "golden", "test"),
  },
  "provision from an image": {
    prepare: withImage,
    begin: (appliance) => provision(appliance, { node: "node-1", image: "golden" }, "test"),
  },
  "provision with a kept disk": {
    prepare: withKeptDisk,
    begin: (appliance) => provision(appliance, { node: "node-2", disk: "node-1-1" }, "test"),
  },
  "provision with the disk of another node": {
    prepare: withProvisioned,
    begin: (appliance) => provision(appliance, { node: "node-2", disk: "node-1-1", forceOff: true }, "test"),
  },
  "deprovision, keeping the disk": {
    prepare: withProvisioned,
    begin: (appliance) => deprovision(appliance, { node: "node-1", disk: "keep", now: false }, "test"),
  },
  "deprovision, deleting the disk for good": {
    prepare: async (appliance) => {
      appliance.config.disks.graceHours = 0;
      await withProvisioned(appliance);
    },
    begin: (appliance) => deprovision(appliance, { node: "node-1", disk: "delete", now: false }, "test"),
  },
  "deprovision at once, deleting the disk": {
    prepare: withProvisioned,
    begin: (appliance) => deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test"),
  },
  snapshot: {
    prepare: withProvisioned,
    begin: (appliance) => snapshotDisk(appliance, { project, disk: "node-1-1", image: "snap" }, "test"),
  },
  "revert of a detached disk": {
    prepare: withKeptDisk,
    begin: (appliance) => revertDisk(appliance, { project, disk: "node-1-1" }, "test"),
  },
  "revert of an attached disk": {
    prepare: withNodeOff,
    begin: (appliance) => revertDisk(appliance, { project, disk: "node-1-1" }, "test"),
  },
  "limit disk": { prepare: withProvisioned, begin: (appliance) => limit(appliance, { iops: 500 }) },
  "change a disk's limits": {
    prepare: withLimited,
    begin: (appliance) => limit(appliance, { iops: null, bytesPerSecond: 4 * 1024 ** 2 }),
    check: async (appliance, of, failed) => {
      nothingLeftBehind(appliance, of);
      const [before, after] = [{ iops: 500, bytesPerSecond: 8 * 1024 ** 2 }, { bytesPerSecond: 4 * 1024 ** 2 }];
      const { limits } = appliance.disks.get(project, "node-1-1");
      expect(failed === undefined ? [before, after] : [before]).toContainEqual(limits);
    },
  },
  "revert of a limited disk": {
    prepare: async (appliance) => {
      await withLimited(appliance);
      await done(appliance, powerNode(appliance, { node: "node-1", action: "off" }, "test"));
    },
    begin: (appliance) => revertDisk(appliance, { project, disk: "node-1-1" }, "test"),
  },
  "power off": {
    prepare: withProvisioned,
    begin: (appliance) => powerNode(appliance, { node: "node-1", action: "off" }, "test"),
  },
  "power reset": {
    prepare: withProvisioned,
    begin: (appliance) => powerNode(appliance, { node: "node-1", action: "reset" }, "test"),
  },
  "flatten disk": {
    prepare: withProvisioned,
    begin: (appliance) => flatten(appliance, { project, kind: "disk", name: "node-1-1" }, "test"),
  },
  "flatten image": {
    prepare: withImage,
    begin: (appliance) => flatten(appliance, { project, kind: "image", name: "golden" }, "test"),
  },
  "create disk": {
    prepare: async () => {},
    begin: (appliance) => createDisk(appliance, { project, name: "scratch", sizeBytes: 4096 }, "test"),
  },
  "delete disk at once": {
    prepare: withKeptDisk,
    begin: (appliance) => removeDisk(appliance, { project, disk: "node-1-1", now: true }, "test"),
  },
  "purge disk": {
    prepare: async (appliance) => {
      await withKeptDisk(appliance);
      await done(appliance, removeDisk(appliance, { project, disk: "node-1-1" }, "test"));
    },
    begin: (appliance) => purgeDisk(appliance, { project, disk: "node-1-1" }, "test"),
  },
  "grow pool": {
    prepare: async () => {},
    begin: (appliance) => growPool(appliance, { addedBytes: 500 }, "test"),
  },
  "copy image": {
    prepare: withImage,
    begin: (appliance) => copyImage(appliance, { project, image: "golden", name: "copy" }, "test"),
  },
  "export image to a file": {
    prepare: withImage,
    begin: (appliance) => {
      const place = { to: "/export", format: "qcow2", compression: "none" } as const;
      return exportImage(appliance, { project, image: "golden", ...place }, "test");
    },
  },
  "export image to an RBD image": {
    prepare: withImage,
    begin: (appliance) => exportImage(appliance, { project, image: "golden", rbd: "vms/golden" }, "test"),
  },
  "import an RBD image": {
    prepare: async () => {},
    begin: (appliance) => importRbd(appliance, { project, name: "web", source: "vms/web", phonesHome: false }, "test"),
  },
  "import an increment": {
    prepare: withImage,
    begin: (appliance) =>
      importIncrement(appliance, { project, name: "later", path: "/import/later", onto: "golden" }, "test"),
  },
  "remove image": {
    prepare: withImage,
    begin: (appliance) => removeImage(appliance, { project, image: "golden" }, "test"),
  },
};

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

proveProcedures(scenarios);

it("waits while the disk refuses journal lines, and then goes on to the end", async () => {
  let refusals = -1;
  const wrapJournal = (journal: Journal): Journal =>
    journalWithAppend(journal, (entry, durable, failed) => {
      const isStep = entry.changes.some(({ collection }) => collection === "operations");
      if (refusals > 0 && isStep && entry.seq % 2 === 0) {
        refusals -= 1;
        failed(new ApplianceError("UNAVAILABLE", "the disk is full"));
        return;
      }
      journal.append(entry, durable, failed);
    });
  const appliance = await world.start({ wrapJournal });
  await withImage(appliance);
  const beginning = provision(appliance, { node: "node-1", image: "golden" }, "test");
  const { id } = await beginning;
  refusals = 20;
  const operation = await appliance.runner.settled(id);
  expect(operation.state, JSON.stringify(operation.error)).toMatch(/^(done|undone)$/);
  expect(refusals).toBeLessThan(20);
  nothingLeftBehind(appliance, world);
});

describe("a node whose BMC is dead", () => {
  const isDead = { now: false };
  const before = (verb: string) => {
    if (isDead.now && verb.startsWith("power.")) throw new ApplianceError("DRIVER_FAILED", "the BMC does not answer");
  };
  beforeEach(() => {
    isDead.now = false;
  });

  it("is released on the word of somebody who saw it off", async () => {
    const appliance = await world.start({ before });
    await withProvisioned(appliance);
    isDead.now = true;
    const refused = await settled(
      appliance,
      await deprovision(appliance, { node: "node-1", disk: "keep", now: false }, "test"),
    );
    expect(refused.state).toBe("undone");
    await done(appliance, deprovision(appliance, { node: "node-1", disk: "keep", now: false, seenOff: true }, "test"));
    world.power.get(appliance.nodes.get("node-1").id)!.state = "off";
    nothingLeftBehind(appliance, world);
  });

  it("gives its disk to another node on that word, and only with --force-off", async () => {
    const appliance = await world.start({ before });
    await withProvisioned(appliance);
    const dead = appliance.nodes.get("node-1").id;
    const real = appliance.powerOf;
    appliance.powerOf = (node) => {
      isDead.now = node.id === dead;
      return real(node);
    };
    const take = { node: "node-2", disk: "node-1-1" };
    await expect(provision(appliance, { ...take, seenOff: true }, "test")).rejects.toMatchObject({ code: "IN_USE" });
    expect((await settled(appliance, await provision(appliance, { ...take, forceOff: true }, "test"))).state).toBe(
      "undone",
    );
    await done(appliance, provision(appliance, { ...take, forceOff: true, seenOff: true }, "test"));
    expect(appliance.disks.get(project, "node-1-1").node).toBe(appliance.nodes.get("node-2").id);
  });

  it("lets a stuck operation go on, on that word", async () => {
    const appliance = await world.start({ before });
    await withImage(appliance);
    world.nodesBoot = false;
    const operation = await provision(appliance, { node: "node-1", image: "golden" }, "test");
    await expect
      .poll(() => appliance.runner.get(operation.id).steps.find(({ name }) => name === "await-login")?.state)
      .toBe("started");
    isDead.now = true;
    expect((await settled(appliance, operation)).state).toBe("stuck");
    await retryOperation(appliance, { operation: operation.id }, "test");
    expect((await settled(appliance, operation)).state).toBe("stuck");
    await retryOperation(appliance, { operation: operation.id, seenOff: true }, "test");
    expect((await settled(appliance, operation)).state).toBe("undone");
    world.power.get(appliance.nodes.get("node-1").id)!.state = "off";
    nothingLeftBehind(appliance, world);
  });
});
