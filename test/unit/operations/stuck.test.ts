import { afterEach, beforeEach, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { newNode, nothingLeftBehind, settled, World } from "./world.ts";

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

const IMPORT = {
  project: "default",
  name: "golden",
  path: "/import/golden.raw",
  format: "raw",
  phonesHome: true,
} as const;

it("an operation that is stuck can't be cancelled, says how it goes on, and does", async () => {
  let broken = false;
  const appliance = await world.start({
    before: (verb) => {
      if (broken && verb === "targets.removeTarget") throw new ApplianceError("DRIVER_FAILED", "tgtd says no");
    },
  });
  await appliance.nodes.add(newNode("node-1", 1), "test");
  await settled(appliance, await importImage(appliance, IMPORT, "test"));
  await settled(appliance, await provision(appliance, { node: "node-1", image: "golden" }, "test"));
  broken = true;
  const release = { node: "node-1", disk: "delete", now: true } as const;
  const { id, state } = await settled(appliance, await deprovision(appliance, release, "test"));
  expect(state).toBe("stuck");
  await expect(appliance.runner.cancel(id)).rejects.toMatchObject({
    code: "CONFLICT",
    details: { remedy: expect.stringContaining(`ingot operation retry ${id}`) },
  });
  broken = false;
  await appliance.runner.retry(id);
  expect((await appliance.runner.settled(id)).state).toBe("done");
  nothingLeftBehind(appliance, world);
});

it.each(["back", "forward past the point of no return"])(
  "waits out an outage on its way %s, and says so",
  async (way) => {
    let isDown = false;
    let refusals = 0;
    const outage = () => {
      refusals += 1;
      const details = { outage: true, remedy: "ceph -s" };
      throw new ApplianceError("UNAVAILABLE", "Ceph can't be reached", { details });
    };
    const appliance = await world.start({
      before: (verb) => {
        if (isDown && verb.startsWith("images.")) outage();
      },
    });
    await appliance.nodes.add(newNode("node-1", 1), "test");
    await settled(appliance, await importImage(appliance, IMPORT, "test"));
    const isBack = way === "back";
    appliance.config.disks.graceHours = 0;
    if (!isBack) await settled(appliance, await provision(appliance, { node: "node-1", image: "golden" }, "test"));
    isDown = true;
    const { id } = isBack
      ? await provision(appliance, { node: "node-1", image: "golden" }, "test")
      : await deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test");
    await expect.poll(() => refusals, { timeout: 10_000 }).toBeGreaterThan(12);
    expect(appliance.runner.waitingFor(id)).toMatchObject({ message: "Ceph can't be reached" });
    expect(appliance.runner.get(id).state).toBe(isBack ? "undoing" : "running");
    isDown = false;
    expect((await appliance.runner.settled(id)).state).toBe(isBack ? "undone" : "done");
    expect(appliance.runner.waitingFor(id)).toBeUndefined();
    nothingLeftBehind(appliance, world);
  },
);
