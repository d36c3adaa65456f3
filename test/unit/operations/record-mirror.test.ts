import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { removeImage } from "../../../src/operations/remove-image.ts";
import { snapshotDisk } from "../../../src/operations/snapshot-disk.ts";
import { newNode, settled, World } from "./world.ts";

const project = "default";
const signal = new AbortController().signal;
let world: World;
let appliance: Appliance;
/** What the pool's next call fails with. */
let outage: ApplianceError | undefined;
let writes: string[];

beforeEach(async () => {
  world = new World();
  outage = undefined;
  writes = [];
  appliance = await world.start({ before });
  await appliance.nodes.add(newNode("node-1", 1), "test");
  const request = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await settled(appliance, await importImage(appliance, request, "test"));
});
afterEach(async () => {
  await appliance.mirror.stop();
  await world.end();
});

function before(verb: string): void {
  if (verb === "catalogue.describe") writes.push(verb);
  if (verb.startsWith("catalogue.") && outage) throw outage;
}

const golden = () => appliance.images.get(project, "golden");
const described = (id: string) => world.images.descriptions.get(id);
const rename = (name: string) =>
  appliance.records.commit([{ collection: "images", key: golden().id, value: { ...golden(), name } }]);

describe("the mirror", () => {
  it("writes whole records, with the node of a disk by name and without secrets", async () => {
    await settled(appliance, await provision(appliance, { node: "node-1", image: "golden" }, "test"));
    await appliance.mirror.catchUp(signal);
    const disk = appliance.disks.get(project, "node-1-1");
    const { node: _, ...record } = disk;
    expect(described(disk.id)).toEqual({
      schema: 1,
      kind: "disk",
      id: disk.id,
      appliance: "app-test",
      describedAt: expect.any(Number),
      node: "node-1",
      record,
    });
    expect(described(golden().id)?.record).toEqual(golden());
    const { secret } = [...appliance.records.collection<{ secret: string }>("secrets").values()][0] as {
      secret: string;
    };
    expect(JSON.stringify([...world.images.descriptions.values()])).not.toContain(secret);
  });

  it("writes what has changed, once, and nothing else", async () => {
    await appliance.mirror.catchUp(signal);
    expect(writes.length).toBe(1);
    await appliance.mirror.catchUp(signal);
    expect(writes.length).toBe(1);
    // a record that was committed anew and says the same
    await appliance.records.commit([{ collection: "images", key: golden().id, value: { ...golden() } }]);
    await appliance.mirror.catchUp(signal);
    expect(writes.length).toBe(1);
    const { id } = golden();
    await rename("silver");
    await appliance.mirror.catchUp(signal);
    expect([writes.length, described(id)?.record.name]).toEqual([2, "silver"]);
  });

  it("finds out at its start what it had not written when it was killed, and writes nothing twice", async () => {
    await appliance.mirror.catchUp(signal);
    const { id } = golden();
    await rename("silver");
    world.crashed.add(appliance);
    writes = [];
    const next = await world.start({ before });
    expect(next.mirror.state.behind).toBe(1);
    await next.mirror.catchUp(signal);
    expect(described(id)?.record.name).toBe("silver");
    expect([writes.length, next.mirror.state.behind]).toEqual([1, 0]);
    const third = await world.start({ before });
    await third.mirror.catchUp(signal);
    expect(writes.length).toBe(1);
  });

  it("makes up for an outage when it is over, and says what keeps it meanwhile", async () => {
    outage = new ApplianceError("UNAVAILABLE", "Ceph can't be reached");
    appliance.mirror.start();
    await expect.poll(() => appliance.mirror.state.trouble).toBe("Ceph can't be reached");
    expect(appliance.mirror.state.behind).toBe(1);
    await rename("silver");
    outage = undefined;
    await expect.poll(() => described(appliance.images.get(project, "silver").id)?.record.name).toBe("silver");
    await expect.poll(() => appliance.mirror.state).toEqual({ behind: 0, taken: [], trouble: undefined });
  });

  it("leaves out an image until it is whole, and one that is on its way out", async () => {
    await appliance.records.commit([{ collection: "images", key: golden().id, value: { ...golden(), ready: false } }]);
    await appliance.mirror.catchUp(signal);
    expect(writes).toEqual([]);
  });

  it("is not kept by one disk without content from describing the others", async () => {
    await settled(appliance, await provision(appliance, { node: "node-1", image: "golden" }, "test"));
    const disk = appliance.disks.get(project, "node-1-1");
    world.images.contents.delete(`disk/${disk.id}`);
    await settled(appliance, await snapshotDisk(appliance, { project, disk: disk.id, image: "snap" }, "test"));
    await appliance.mirror.catchUp(signal);
    expect(described(golden().id)).toBeDefined();
    expect(appliance.mirror.state).toMatchObject({ behind: 1, trouble: undefined });
  });

  it("leaves alone what another appliance has taken, and tells who", async () => {
    await appliance.mirror.catchUp(signal);
    const { id } = golden();
    const taken = { ...described(id)!, appliance: "app-other" };
    world.images.descriptions.set(id, taken);
    await rename("silver");
    await appliance.mirror.catchUp(signal);
    expect(described(id)).toEqual(taken);
    expect(appliance.mirror.state.taken).toEqual([{ id, owner: "app-other" }]);
  });

  it("forgets what is removed", async () => {
    await appliance.mirror.catchUp(signal);
    const { id } = golden();
    await settled(appliance, await removeImage(appliance, { project, image: "golden" }, "test"));
    await appliance.mirror.catchUp(signal);
    expect(described(id)).toBeUndefined();
    expect(appliance.mirror.state.behind).toBe(0);
  });
});
