/** What is said of a Ceph cluster that can't be used, and that nothing waits for it for long. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { createRbdCatalogue } from "../../src/drivers/images/rbd/rbd-catalogue.ts";
import { createRbdCommand } from "../../src/drivers/images/rbd/rbd-command.ts";
import type { RbdAccess, RbdPool } from "../../src/drivers/images/rbd/rbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { shutOutFormer } from "../../src/drivers/images/rbd/shut-out-former.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { type CephCluster, createCephCluster, createVolumePool, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";

const STATE = "/var/tmp/ingot-rbd-states";
const UNREACHABLE = {
  code: "UNAVAILABLE",
  retryable: true,
  details: { ceph: "unreachable", outage: true, remedy: /ceph -s/ },
};
let signal: AbortSignal;
let cluster: CephCluster;

beforeAll(async () => {
  await destroyEverything(STATE);
  cluster = await createCephCluster(loopbackHost(STATE), { port: 28_900 });
});
afterAll(() => destroyEverything(STATE));
beforeEach(() => {
  signal = AbortSignal.timeout(100_000);
});

const opened: (RbdPool & { close?(): void })[] = [];
let connect: (access: RbdAccess) => RbdPool & { close?(): void };

function storeOf(changes: Partial<RbdAccess> = {}) {
  const { conf, user, pool } = cluster;
  const access = { conf, user, pool, ...changes };
  const rbd = connect(access);
  opened.push(rbd);
  const store = openRbdStore({ pool: rbd, access, importDirectories: [STATE], spoolDirectory: join(STATE, "spool") });
  return { store, catalogue: createRbdCatalogue(rbd), beforeOpening: shutOutFormer(rbd, access) };
}

/** Every kind of verb: through the monitors alone, and down to the OSDs. */
function verbs(changes?: Partial<RbdAccess>): Record<string, () => Promise<unknown>> {
  const { store, beforeOpening } = storeOf(changes);
  return {
    usage: () => store.usage(signal),
    list: () => store.list(signal),
    clone: () => store.clone("img-none", "disk-none", signal),
    opening: async () => beforeOpening(await store.backing("disk-none"), targetIqn("app-test", "disk-none"), signal),
  };
}

async function expectEach(
  asked: Record<string, () => Promise<unknown>>,
  wanted: { code: string; retryable: boolean; details: { ceph: string; outage?: boolean; remedy: RegExp } },
): Promise<void> {
  const { code, retryable } = wanted;
  for (const [verb, ask] of Object.entries(asked)) {
    await expect(ask(), verb).rejects.toMatchObject({
      code,
      retryable,
      details: { driver: "rbd", ...wanted.details, remedy: expect.stringMatching(wanted.details.remedy) },
    });
  }
}

const POOLS = [
  ["librbd", createLibrbdPool],
  ["command", createRbdCommand],
] as const;

function connectBy(one: typeof connect): void {
  beforeAll(() => {
    connect = one;
  });
  afterAll(() => {
    for (const pool of opened.splice(0)) pool.close?.();
  });
}

describe.each(POOLS)("by %s", (_, one) => {
  connectBy(one);

  it("a user whose key the cluster does not know is told so", async () => {
    const conf = join(STATE, "wrong-key.conf");
    const keyring = join(STATE, "wrong.keyring");
    await runProgram("ceph-authtool", ["--create-keyring", keyring, "--gen-key", "--name", `client.${cluster.user}`]);
    await writeFile(conf, (await readFile(cluster.conf, "utf8")).replace(/^keyring = .*$/m, `keyring = ${keyring}`));
    const remedy = /pool\.rbd\.user/;
    await expectEach(verbs({ conf }), {
      code: "DRIVER_FAILED",
      retryable: false,
      details: { ceph: "not-authorised", remedy },
    });
  });

  it("a pool that is not there is named, and is no pool without images", async () => {
    for (const [verb, ask] of Object.entries(verbs({ pool: "elsewhere" }))) {
      await expect(ask(), verb).rejects.toThrow("there is no pool elsewhere");
    }
    const { store } = storeOf({ pool: "elsewhere" });
    await expect(store.remove("disk", "disk-none", signal)).rejects.toMatchObject({
      code: "DRIVER_FAILED",
      details: { field: "pool.rbd.pool", value: "elsewhere", remedy: expect.stringContaining("rbd pool init") },
    });
  });

  it("a configuration that is not there is named", async () => {
    for (const [verb, ask] of Object.entries(verbs({ conf: "/nowhere/ceph.conf" }))) {
      await expect(ask(), verb).rejects.toThrow("there is no file /nowhere/ceph.conf");
    }
  });

  it("rights that its user is given later hold for a connection that stands", async () => {
    const { store } = storeOf();
    await store.list(signal);
    await createVolumePool(cluster, "vms");
    await cluster.rbd("create", "--size", "4M", "vms/web");
    await cluster.rbd("snap", "create", "--no-progress", "vms/web@golden");
    await cluster.rbd("clone", "--rbd-default-clone-format", "2", "vms/web@golden", "ingot/disk-web");
    await cluster.rbd("image-meta", "set", "ingot/disk-web", "conf_rbd_cache", "false");
    const size = () => store.stat("disk", "disk-web", signal).then((stat) => stat?.sizeBytes, String);
    await expect.poll(size, { timeout: 20_000 }).toBe(4 * 1024 ** 2);
    await store.remove("disk", "disk-web", signal);
    await cluster.ceph("osd", "pool", "rm", "vms", "vms", "--yes-i-really-really-mean-it");
  });

  it("what an interrupted snapshot left on a disk goes with the disk", async () => {
    const { store } = storeOf();
    await cluster.rbd("create", "--size", "4M", "ingot/disk-left");
    await cluster.rbd("snap", "create", "--no-progress", "ingot/disk-left@img-left");
    await store.remove("disk", "disk-left", signal);
    expect([await store.list(signal), await cluster.rbd("trash", "ls", "ingot")]).toEqual([[], ""]);
  });

  it("what is half made is no disk and no image, and is made anew when it is asked for again", async () => {
    const { store } = storeOf();
    const bytes = 4 * 1024 ** 2;
    await store.create("disk-base", bytes, signal);
    await store.snapshot("disk-base", "img-base", signal);
    const made: Record<string, () => Promise<unknown>> = {
      "disk-clone": () => store.clone("img-base", "disk-clone", signal),
      "img-copy": () => store.copy("img-base", "img-copy", signal),
      "img-snapshot": () => store.snapshot("disk-base", "img-snapshot", signal),
      "disk-blank": () => store.create("disk-blank", bytes, signal),
    };
    for (const [id, make] of Object.entries(made)) {
      const kind = id.startsWith("img-") ? "image" : "disk";
      // ended before its parent was attached, and then before its metadata was copied
      for (const from of id === "disk-clone" ? ["create", "clone"] : ["create"]) {
        if (from === "create") await cluster.rbd("create", "--size", "1M", `ingot/${id}`);
        else await cluster.rbd("image-meta", "remove", `ingot/${id}`, "conf_rbd_cache");
        expect(await store.stat(kind, id, signal), `${id}, ${from}`).toBeUndefined();
        await make();
        expect((await store.stat(kind, id, signal))?.sizeBytes, `${id}, ${from}`).toBe(bytes);
        expect((await cluster.rbd("info", `ingot/${id}`)).includes("parent:"), id).toBe(id !== "disk-blank");
      }
    }
    // its mark too goes with a snapshot that is given up
    await cluster.rbd("snap", "create", "--no-progress", "ingot/disk-base@img-mark");
    await store.remove("image", "img-mark", signal, "disk-base");
    expect(await cluster.rbd("snap", "ls", "ingot/disk-base")).toBe("");
    for (const { kind, id } of await store.list(signal)) await store.remove(kind, id, signal);
    expect([await store.list(signal), await cluster.rbd("trash", "ls", "ingot")]).toEqual([[], ""]);
  });

  it("leftovers of interrupted work are found by a survey, and cleared one by one", async () => {
    const { store, catalogue } = storeOf();
    const make = (name: string) => cluster.rbd("create", "--size", "4M", `ingot/${name}`);
    await store.create("disk-a", 4 * 1024 ** 2, signal);
    for (const name of ["disk-half", "new.disk-a", "old.disk-b", "new.disk-b", "new.foreign"]) await make(name);
    await cluster.rbd("image-meta", "set", "ingot/new.disk-b", "conf_rbd_cache", "false");
    const half = { schema: 1, kind: "disk", id: "disk-half", appliance: "app-1", describedAt: 1, record: {} } as const;
    await expect(catalogue.describe(half, undefined, signal)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await cluster.rbd("snap", "create", "--no-progress", "ingot/disk-a@img-a");
    const { leftovers } = await catalogue.survey(signal);
    expect(leftovers.map(({ what, name }) => `${what} ${name}`).sort()).toEqual([
      "half-made disk-half",
      "mark disk-a@img-a",
      "replaced old.disk-b",
      "unfinished new.disk-a",
      "unfinished new.disk-b",
    ]);
    for (const name of ["disk-a", "new.foreign", "disk-a@content"]) {
      await expect(catalogue.clear(name, signal), name).rejects.toMatchObject({ code: "INVALID" });
    }
    for (const { name } of leftovers) {
      await catalogue.clear(name, signal);
      await catalogue.clear(name, signal);
    }
    expect((await catalogue.survey(signal)).leftovers).toEqual([]);
    // the revert that was interrupted between its two renames is finished
    expect((await store.list(signal)).map(({ id }) => id).sort()).toEqual(["disk-a", "disk-b"]);
    for (const id of ["disk-a", "disk-b"]) await store.remove("disk", id, signal);
    await cluster.rbd("rm", "--no-progress", "ingot/new.foreign");
  });

  it("a disk that an interrupted rename gave two names is not taken away by either", async () => {
    const { store, catalogue } = storeOf();
    const rados = (...args: string[]) =>
      runProgram("rados", ["--conf", cluster.conf, "--id", cluster.user, "--pool", cluster.pool, ...args]);
    const file = join(STATE, "rbd-id");
    await store.create("disk-two", 4 * 1024 ** 2, signal);
    await rados("get", "rbd_id.disk-two", file);
    const taken: Record<string, () => Promise<unknown>> = {
      "old.disk-two": () => store.revert("disk-two", "img-none", signal),
      "new.disk-two": () => catalogue.clear("new.disk-two", signal),
      "new.disk-two ": () => store.revert("disk-two", "img-two", signal),
    };
    await store.snapshot("disk-two", "img-two", signal);
    for (const [case_, take] of Object.entries(taken)) {
      const name = case_.trim();
      await rados("put", `rbd_id.${name}`, file);
      await expect(take(), name).rejects.toMatchObject({
        message: expect.stringContaining("two names"),
        details: { remedy: expect.stringContaining(`rados rm rbd_id.${name}`) },
      });
      // it is there, and stays what it was
      expect(await store.clone("img-none", "disk-two", signal)).toEqual({ sizeBytes: 4 * 1024 ** 2 });
      expect((await store.stat("disk", "disk-two", signal))?.sizeBytes).toBe(4 * 1024 ** 2);
      await rados("rm", `rbd_id.${name}`);
    }
    await store.remove("image", "img-two", signal);
    await store.remove("disk", "disk-two", signal);
  });

  it("a process that talks to it and dies takes its calls along, and the next ones find a new one", async () => {
    const { store } = storeOf();
    await store.list(signal);
    const asked = store.clone("img-none", "disk-none", signal);
    opened.at(-1)?.close?.();
    if (one === createLibrbdPool) {
      await expect(asked).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
    } else {
      await expect(asked).rejects.toMatchObject({ code: "NOT_FOUND" });
    }
    await expect.poll(() => store.list(signal)).toEqual([]);
  });
});

// the last: nothing else is asked of a cluster that was held still
describe.each(POOLS)("by %s", (_, one) => {
  connectBy(one);

  it("a cluster whose monitor hangs can't be reached, and serves again once it goes on", async () => {
    await cluster.signal("mon", "SIGSTOP");
    const { usage, opening } = verbs();
    await expectEach({ usage: usage!, opening: opening! }, UNREACHABLE);
    await cluster.signal("mon", "SIGCONT");
    expect(await storeOf().store.list(signal)).toEqual([]);
  });

  it("so is it told of one that hangs under a connection that stands: its monitor, or its OSD", async () => {
    const { store } = storeOf();
    for (const [daemon, ask] of [
      ["mon", () => store.usage(signal)],
      ["osd", () => store.list(signal)],
    ] as const) {
      await store.list(signal);
      await cluster.signal(daemon, "SIGSTOP");
      await expectEach({ [daemon]: ask }, UNREACHABLE);
      await cluster.signal(daemon, "SIGCONT");
      await expect.poll(() => store.list(signal).catch(() => undefined), { timeout: 60_000 }).toEqual([]);
    }
  });
});
