/** What every pool tells of its images and disks, whoever asks. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFileCatalogue } from "../../src/drivers/images/file-catalogue.ts";
import { createFileLeases } from "../../src/drivers/images/file-leases.ts";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import type { Description, PoolCatalogue } from "../../src/drivers/images/pool-catalogue.ts";
import type { PoolLeases } from "../../src/drivers/images/pool-leases.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { createRbdCatalogue } from "../../src/drivers/images/rbd/rbd-catalogue.ts";
import { createRbdCommand } from "../../src/drivers/images/rbd/rbd-command.ts";
import { createRbdLeases } from "../../src/drivers/images/rbd/rbd-leases.ts";
import type { RbdAccess, RbdPool } from "../../src/drivers/images/rbd/rbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { MemoryImageStore } from "../fakes/memory-image-store.ts";
import { MemoryPoolCatalogue } from "../fakes/memory-pool-catalogue.ts";
import { MemoryPoolLeases } from "../fakes/memory-pool-leases.ts";
import { MemoryPoolSpace } from "../fakes/memory-pool-space.ts";
import { MemoryTargetServer } from "../fakes/memory-target-server.ts";
import { LoopPools } from "../integration/loop-pools.ts";
import { throughStoraged } from "../integration/storaged-in-process.ts";
import { createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";

type Subject = {
  store: ImageStore;
  catalogue: PoolCatalogue;
  leases: PoolLeases;
  /** The same leases, by another process: one that an appliance starts anew. */
  again(): PoolLeases;
  /** Puts a text in the place of a description. */
  damage(id: string): Promise<unknown>;
  close?(): unknown;
};

const CLUSTER = "/var/tmp/ingot-catalogue-ceph";
const signal = AbortSignal.timeout(600_000);
const OWN = "app-own";
let pools: LoopPools;
let golden: string;

beforeAll(async () => {
  pools = new LoopPools();
  golden = join(pools.plain("imports"), "golden.raw");
  await writeFile(golden, Buffer.alloc(1024 * 1024, "golden image "));
});
afterAll(() => pools.remove());

async function fileSubject(name: string): Promise<Subject> {
  const directory = await pools.make(name, "xfs");
  return {
    store: await openFileStore({ directory, importDirectories: [pools.plain("imports")] }),
    catalogue: createFileCatalogue(directory),
    leases: createFileLeases(directory),
    again: () => createFileLeases(directory),
    damage: (id) => writeFile(join(directory, "records", `${id}.json`), "{"),
  };
}

async function rbdSubject(connect: (access: RbdAccess) => RbdPool & { close?(): void }): Promise<Subject> {
  await destroyEverything(CLUSTER);
  const { conf, user, pool, rbd } = await createCephCluster(loopbackHost(CLUSTER), { port: 29_100 });
  const access = { conf, user, pool };
  const ceph = connect(access);
  const opened = [ceph];
  const [importDirectories, spoolDirectory] = [[pools.plain("imports")], pools.plain("spool")];
  return {
    store: openRbdStore({ pool: ceph, access, importDirectories, spoolDirectory }),
    catalogue: createRbdCatalogue(ceph),
    leases: createRbdLeases(ceph),
    again: () => {
      const other = connect(access);
      opened.push(other);
      return createRbdLeases(other);
    },
    damage: (id) => rbd("image-meta", "set", `${pool}/${id}`, "ingot.record", "{"),
    close: () => {
      for (const one of opened) one.close?.();
      return destroyEverything(CLUSTER);
    },
  };
}

const SUBJECTS: Record<string, () => Promise<Subject>> = {
  "file pool": () => fileSubject("file"),
  "file pool through storaged": async () => {
    const { store, catalogue, leases, again, damage } = await fileSubject("remote");
    const [socket, targets] = [join(pools.directory, "storaged.sock"), new MemoryTargetServer()];
    const space = new MemoryPoolSpace();
    const { images, close, ...drivers } = await throughStoraged(socket, store, targets, [], space, catalogue, leases);
    return { store: images, ...drivers, again, damage, close };
  },
  "Ceph pool, by librbd": () => rbdSubject(createLibrbdPool),
  "Ceph pool, by command": () => rbdSubject(createRbdCommand),
  "memory (fake)": async () => {
    const store = new MemoryImageStore();
    const catalogue = new MemoryPoolCatalogue(store, store.descriptions);
    const leases = new MemoryPoolLeases();
    return { store, catalogue, leases, again: () => leases, damage: async (id) => catalogue.descriptions.delete(id) };
  },
};

function description(kind: "image" | "disk", id: string, changes: Partial<Description> = {}): Description {
  const record = { id, name: `name of ${id}`, labels: { "a b": 'ü\n"' } };
  return { schema: 1, kind, id, appliance: OWN, describedAt: 1_700_000_000_000, record, ...changes };
}

describe.each(Object.entries(SUBJECTS))("%s", (_, makeSubject) => {
  let subject: Subject;
  let store: ImageStore;
  let catalogue: PoolCatalogue;

  const find = async (id: string) => (await catalogue.survey(signal)).things.find((one) => one.id === id);
  const say = (one: Description, takenFrom?: string) => catalogue.describe(one, takenFrom, signal);

  beforeAll(async () => {
    subject = await makeSubject();
    ({ store, catalogue } = subject);
    await store.import({ image: "img-golden", path: golden, format: "raw" }, () => {}, signal);
    await store.clone("img-golden", "disk-1", signal);
  });
  afterAll(() => subject?.close?.());

  it("tells of things that nobody has described", async () => {
    const { things, leftovers } = await catalogue.survey(signal);
    expect(things.sort((a, b) => a.id.localeCompare(b.id))).toEqual([
      { kind: "disk", id: "disk-1", sizeBytes: 1024 * 1024 },
      { kind: "image", id: "img-golden", sizeBytes: 1024 * 1024 },
    ]);
    expect(leftovers).toEqual([]);
  });

  it("gives back what was said last, word for word", async () => {
    await say(description("disk", "disk-1"));
    const last = description("disk", "disk-1", { node: "node-7", describedAt: 1_700_000_000_001 });
    await say(last);
    await say(last);
    expect((await find("disk-1"))?.description).toEqual(last);
  });

  it("takes a clone's parent's description for none of its own", async () => {
    await say(description("image", "img-golden"));
    await store.clone("img-golden", "disk-2", signal);
    await store.snapshot("disk-1", "img-snap", signal);
    expect(await find("disk-2")).toEqual({ kind: "disk", id: "disk-2", sizeBytes: 1024 * 1024 });
    expect(await find("img-snap")).toEqual({ kind: "image", id: "img-snap", sizeBytes: 1024 * 1024 });
  });

  it("keeps a disk's description when the disk is reverted", async () => {
    const said = description("disk", "disk-1", { node: "node-8" });
    await say(said);
    await store.revert("disk-1", "img-golden", signal);
    expect((await find("disk-1"))?.description).toEqual(said);
  });

  it("lets nobody describe another appliance's things, unless they are taken from that one", async () => {
    const said = description("disk", "disk-1");
    await say(said);
    const other = description("disk", "disk-1", { appliance: "app-other" });
    const refusal = { code: "CONFLICT", details: { appliance: OWN } };
    await expect(say(other)).rejects.toMatchObject(refusal);
    await expect(say(other, "app-third")).rejects.toMatchObject(refusal);
    expect((await find("disk-1"))?.description).toEqual(said);
    await say(other, OWN);
    await say(other, OWN);
    expect((await find("disk-1"))?.description).toEqual(other);
    await expect(say(said)).rejects.toMatchObject({ code: "CONFLICT", details: { appliance: "app-other" } });
    await say(said, "app-other");
  });

  it("says NOT_FOUND for what it does not keep, and keeps no description without content", async () => {
    await expect(say(description("disk", "disk-none"))).rejects.toMatchObject({ code: "NOT_FOUND" });
    await store.clone("img-golden", "disk-3", signal);
    await say(description("disk", "disk-3"));
    await store.remove("disk", "disk-3", signal);
    await store.clone("img-golden", "disk-3", signal);
    expect((await find("disk-3"))?.description).toBeUndefined();
  });

  it("takes a damaged description for none, and writes it anew", async () => {
    const said = description("image", "img-golden");
    await say(said);
    await subject.damage("img-golden");
    expect((await find("img-golden"))?.description).toBeUndefined();
    await say(said);
    expect((await find("img-golden"))?.description).toEqual(said);
  });

  it("gives a lease to one holder at a time, with a larger token than the one before", async () => {
    const { leases } = subject;
    expect(await leases.holder("work", signal)).toBeUndefined();
    const first = await leases.take("work", "app-1", 60, signal);
    expect(await leases.take("work", "app-1", 60, signal)).toBe(first);
    expect(await leases.holder("work", signal)).toBe("app-1");
    await expect(leases.take("work", "app-2", 60, signal)).rejects.toMatchObject({
      code: "BUSY",
      details: { holder: "app-1" },
    });
    await leases.giveBack("work", "app-2", signal);
    expect(await leases.holder("work", signal)).toBe("app-1");
    await leases.giveBack("work", "app-1", signal);
    await leases.giveBack("work", "app-1", signal);
    expect(await leases.holder("work", signal)).toBeUndefined();
    const second = await leases.take("work", "app-2", 60, signal);
    expect(second).toBeGreaterThan(first);
    await leases.giveBack("work", "app-2", signal);
    expect(await leases.take("work", "app-1", 60, signal)).toBeGreaterThan(second);
    await leases.giveBack("work", "app-1", signal);
  });

  it("takes a lease from a holder that has died, once its time is over, and knows one that came back", async () => {
    const { leases } = subject;
    const first = await leases.take("run-out", "app-1", 3, signal);
    expect(await subject.again().take("run-out", "app-1", 3, signal)).toBe(first);
    const other = subject.again();
    const retry = () => other.take("run-out", "app-2", 60, signal).catch(({ code }) => code as string);
    expect(await retry()).toBe("BUSY");
    await expect.poll(retry, { timeout: 20_000 }).toBeGreaterThan(first);
    await expect(leases.take("run-out", "app-1", 3, signal)).rejects.toMatchObject({ code: "BUSY" });
    await other.giveBack("run-out", "app-2", signal);
  });
});
