import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { closeProject, planClosing } from "../../../src/operations/close-project.ts";
import { copyImage } from "../../../src/operations/copy-image.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { shareImage } from "../../../src/operations/edit-image.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { purgeDisk, removeDisk } from "../../../src/operations/remove-disk.ts";
import { createNetwork } from "../../../src/operations/tenant-network.ts";
import { done, proveProcedures } from "./prove-procedures.ts";
import { isolatedAsRecorded, newNode, nothingLeftBehind, settled, World } from "./world.ts";

const project = "red";

/** A project with some of everything. */
async function prepare(appliance: Appliance): Promise<void> {
  for (const name of [project, "blue"]) await appliance.projects.add({ name }, "test");
  await appliance.nodes.add({ ...newNode("node-1", 1), project }, "test");
  await appliance.nodes.add({ ...newNode("node-2", 2), project: "blue" }, "test");
  const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await done(appliance, importImage(appliance, golden, "test"));
  await done(appliance, createNetwork(appliance, { project, name: "storage" }, "test"));
  const attach = [{ nic: "other-1", network: "storage", channel: "native" } as const];
  await done(appliance, provision(appliance, { node: "node-1", image: "golden", attach }, "test"));
  for (const name of ["kept", "gone"]) {
    await done(appliance, createDisk(appliance, { project, name, sizeBytes: 4096 }, "test"));
  }
  await done(appliance, removeDisk(appliance, { project, disk: "gone" }, "test"));
  const grants = [{ role: "member" as const, project }];
  await appliance.tokens.add({ name: "ci", grants }, "test");
}

const isolated = (world: World) => {
  world.isolated = true;
};

describe("closing", () => {
  let world: World;
  let appliance: Appliance;
  beforeEach(async () => {
    world = new World();
    isolated(world);
    appliance = await world.start();
    await prepare(appliance);
  });
  afterEach(() => world.end());

  it("tells what it would do, and does that", async () => {
    const report = planClosing(appliance, { project });
    expect(report).toMatchObject({
      ...{ released: ["node-1"], nodes: ["node-1"], exported: [], images: ["golden"], networks: ["storage"] },
      ...{ tokens: ["ci"], users: [], obstacles: [] },
    });
    expect(report.disks.toSorted()).toEqual(["gone", "kept", "node-1-1"]);
    const { steps } = await done(appliance, closeProject(appliance, { project }, "test"));
    expect(steps.map(({ name }) => name)).toEqual([
      ...["release-nodes", "remove-disks", "remove-images", "remove-networks", "forget-project"],
    ]);
    expect(appliance.projects.list().map(({ name }) => name)).not.toContain(project);
    expect(appliance.nodes.get("node-1")).toMatchObject({ project: "default", dirty: { project } });
    expect(appliance.tokens.list()).toEqual([]);
    expect(world.images.contents.size).toBe(0);
    nothingLeftBehind(appliance, world);
    await isolatedAsRecorded(appliance, world);
  });

  it("writes images, and what disks hold, to a place first", async () => {
    expect(planClosing(appliance, { project, to: "/export" }).exported.toSorted()).toEqual([
      "golden",
      "kept",
      "node-1-1",
    ]);
    await done(appliance, closeProject(appliance, { project, to: "/export" }, "test"));
    const exported = appliance.runner.list().filter(({ kind, state }) => kind === "export-image" && state === "done");
    expect(exported.map(({ summary }) => summary.match(/image (\S+)/)?.[1]).toSorted()).toEqual([
      "golden",
      "kept",
      "node-1-1",
    ]);
    expect(world.images.contents.size).toBe(0);
  });

  it("exports each once, of more than there are ended operations on record", async () => {
    for (let number = 0; number < 210; number++) {
      const copy = { project, image: "golden", name: `copy-${number}` };
      await done(appliance, copyImage(appliance, copy, "test"));
    }
    const exported: string[] = [];
    const write = world.exchange.exportFile.bind(world.exchange);
    world.exchange.exportFile = (request, ...rest) => {
      exported.push(request.image);
      return write(request, ...rest);
    };
    await done(appliance, closeProject(appliance, { project, to: "/export" }, "test"));
    // golden, its copies, and what two disks hold
    expect(exported.length).toBe(213);
    expect(new Set(exported).size).toBe(213);
    await done(appliance, createDisk(appliance, { project: "blue", name: "later", sizeBytes: 4096 }, "test"));
    // the one that ends is no ended one yet
    expect(appliance.runner.list().length).toBe(201);
  });

  it("is refused while others use what it owns, and never of the default project", async () => {
    await shareImage(appliance, { project, image: "golden", projects: ["blue"], public: false }, () => true);
    await done(appliance, provision(appliance, { node: "node-2", image: "red/golden" }, "test"));
    const obstacles = ["image golden is used by 1 of other projects"];
    expect(planClosing(appliance, { project })).toMatchObject({ obstacles });
    await expect(closeProject(appliance, { project }, "test")).rejects.toMatchObject({
      code: "IN_USE",
      details: { obstacles },
    });
    expect(() => planClosing(appliance, { project: "default" })).toThrow(/always there/);
  });

  it("is stuck with the reason where a thing does not end, and goes on when retried", async () => {
    const golden = appliance.images.get(project, "golden");
    const using = appliance.runner.beginDownload(golden.id, "golden");
    const { id } = await closeProject(appliance, { project }, "test");
    const stuck = await settled(appliance, appliance.runner.get(id));
    expect(stuck).toMatchObject({ state: "stuck", error: { code: "IN_USE" } });
    using();
    await appliance.runner.retry(id);
    expect(await settled(appliance, appliance.runner.get(id))).toMatchObject({ state: "done" });
  });

  it("keeps a node in its project that is provisioned anew meanwhile, until it is released", async () => {
    const forAll = { project: "default", name: "public", path: "/import/golden.raw", format: "raw" } as const;
    await done(appliance, importImage(appliance, { ...forAll, phonesHome: false }, "test"));
    await shareImage(
      appliance,
      { project: "default", image: "public", projects: [project], public: false },
      () => true,
    );
    const remove = world.isolator.removeNetwork.bind(world.isolator);
    world.isolator.removeNetwork = async (name) => {
      await done(appliance, provision(appliance, { node: "node-1", image: "default/public" }, "test"));
      await remove(name);
    };
    const { id } = await closeProject(appliance, { project }, "test");
    const stuck = await settled(appliance, appliance.runner.get(id));
    expect(stuck).toMatchObject({ state: "stuck", error: { code: "IN_USE", details: { value: "node-1" } } });
    expect(appliance.nodes.get("node-1").project).toBe(project);
    await done(appliance, deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test"));
    for (const { id: disk } of appliance.disks.all(project)) {
      await done(appliance, purgeDisk(appliance, { project, disk }, "test"));
    }
    await appliance.runner.retry(id);
    expect(await settled(appliance, appliance.runner.get(id))).toMatchObject({ state: "done" });
  });
});

proveProcedures(
  {
    "close project": {
      prepare,
      begin: (appliance) => closeProject(appliance, { project }, "test"),
      check: async (appliance, world) => {
        nothingLeftBehind(appliance, world);
        await isolatedAsRecorded(appliance, world);
      },
    },
  },
  isolated,
);
