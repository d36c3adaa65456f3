import { afterEach, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { newNode, nothingLeftBehind, settled, World } from "./world.ts";

const world = new World();
afterEach(() => world.end());

it("an operation that is stuck can't be cancelled, says how it goes on, and does", async () => {
  let broken = false;
  const appliance = await world.start({
    before: (verb) => {
      if (broken && verb === "targets.removeTarget") throw new ApplianceError("DRIVER_FAILED", "tgtd says no");
    },
  });
  await appliance.nodes.add(newNode("node-1", 1), "test");
  const request = { project: "default", name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true };
  await settled(appliance, await importImage(appliance, request as Parameters<typeof importImage>[1], "test"));
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
