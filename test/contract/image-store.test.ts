/**
 * What every image store does, whoever uses it. Each implementation says how to put a file before it and how to look at
 * what it keeps.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore, StoredKind } from "../../src/drivers/images/image-store.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { createRbdCommand } from "../../src/drivers/images/rbd/rbd-command.ts";
import type { RbdAccess, RbdPool } from "../../src/drivers/images/rbd/rbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { ApplianceError } from "../../src/errors.ts";
import { sharedExtents } from "../../src/net/file-extents.ts";
import type { IoLimits } from "../../src/values/io-limits.ts";
import { MemoryImageStore } from "../fakes/memory-image-store.ts";
import { MemoryTargetServer } from "../fakes/memory-target-server.ts";
import { LoopPools } from "../integration/loop-pools.ts";
import { throughStoraged } from "../integration/storaged-in-process.ts";
import { createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";

type Subject = {
  store: ImageStore;
  /** Path of a file that holds `content`. */
  file(name: string, content: Buffer): Promise<string>;
  /** A digest of what is kept. */
  content(kind: StoredKind, id: string): Promise<string>;
  /** The digest of what holds these bytes, which came from a file of that name if they did. */
  digestOf(content: Buffer, file?: string): string;
  /** Plays the node: changes a disk. */
  scribble(disk: string): Promise<void>;
  /** Whether it shares nothing with others. */
  isFlat(kind: StoredKind, id: string): Promise<boolean>;
  /** What of an image or disk says how it is limited; absent where nothing can be. */
  limits?(id: string): Promise<IoLimits>;
  close?(): unknown;
};

const MIB = 1024 ** 2;
const run = async (program: string, args: string[]) => (await promisify(execFile)(program, args)).stdout;
const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");

const CLUSTER = "/var/tmp/ingot-contract-ceph";
const signal = AbortSignal.timeout(900_000);
let pools: LoopPools;

beforeAll(() => {
  pools = new LoopPools();
});
afterAll(() => pools.remove());

async function fileSubject(name: string, filesystem: "xfs" | "btrfs"): Promise<Subject> {
  const directory = await pools.make(name, filesystem);
  const imports = pools.plain(`${name}-imports`);
  const path = (kind: StoredKind, id: string) => join(directory, `${kind}s`, `${id}.raw`);
  return {
    store: await openFileStore({ directory, importDirectories: [imports] }),
    file: async (file, content) => {
      await writeFile(join(imports, file), content);
      return join(imports, file);
    },
    content: async (kind, id) =>
      createHash("sha256")
        .update(await readFile(path(kind, id)))
        .digest("hex"),
    digestOf: sha256,
    scribble: (disk) => writeFile(path("disk", disk), "changed by the node", { flag: "r+" }),
    isFlat: async (kind, id) => {
      const file = await open(path(kind, id), "r");
      return (await sharedExtents(file).finally(() => file.close())).length === 0;
    },
  };
}

async function rbdSubject(
  connect: (access: RbdAccess) => RbdPool & { close?(): void },
  port: number,
): Promise<Subject> {
  await destroyEverything(CLUSTER);
  const cluster = await createCephCluster(loopbackHost(CLUSTER), { port });
  const imports = pools.plain("rbd-imports");
  const { conf, user, pool } = cluster;
  const access = { conf, user, pool };
  const rbd = connect(access);
  return {
    store: openRbdStore({
      pool: rbd,
      access,
      importDirectories: [imports],
      spoolDirectory: pools.plain("rbd-spool"),
    }),
    file: async (file, content) => {
      await writeFile(join(imports, file), content);
      return join(imports, file);
    },
    content: async (_, id) => {
      const path = join(imports, "exported");
      await rm(path, { force: true });
      await cluster.rbd("export", "--no-progress", `${pool}/${id}`, path);
      return createHash("sha256")
        .update(await readFile(path))
        .digest("hex");
    },
    digestOf: sha256,
    scribble: async (disk) => {
      const one = ["--io-type", "write", "--io-size", "4096", "--io-total", "4096", "--io-threads", "1"];
      await cluster.rbd("bench", ...one, `${pool}/${disk}`);
    },
    isFlat: async (_, id) =>
      JSON.parse(await cluster.rbd("info", "--format", "json", `${pool}/${id}`)).parent === undefined,
    limits: async (id) => {
      const said = JSON.parse((await cluster.rbd("image-meta", "list", "--format", "json", `${pool}/${id}`)) || "{}");
      const [iops, bytesPerSecond] = ["iops", "bps"].map((one) => said[`conf_rbd_qos_${one}_limit`]);
      return { ...(iops && { iops: Number(iops) }), ...(bytesPerSecond && { bytesPerSecond: Number(bytesPerSecond) }) };
    },
    close: () => {
      rbd.close?.();
      return destroyEverything(CLUSTER);
    },
  };
}

const SUBJECTS: Record<string, () => Promise<Subject>> = {
  "file store on XFS": () => fileSubject("xfs", "xfs"),
  "file store on btrfs": () => fileSubject("btrfs", "btrfs"),
  "file store through storaged": async () => {
    const subject = await fileSubject("remote", "xfs");
    const socket = join(pools.directory, "storaged.sock");
    const { images, close } = await throughStoraged(socket, subject.store, new MemoryTargetServer());
    return { ...subject, store: images, close };
  },
  "rbd store, by librbd": () => rbdSubject(createLibrbdPool, 28_100),
  "rbd store, by command": () => rbdSubject(createRbdCommand, 28_300),
  "memory store (fake)": async () => {
    const store = new MemoryImageStore();
    return {
      store,
      file: async (name, content) => {
        store.files.set(`content of /imports/${name}`, content);
        return `/imports/${name}`;
      },
      content: async (kind, id) => store.contents.get(`${kind}/${id}`) ?? "",
      digestOf: (_, name) => (name === undefined ? "" : `content of /imports/${name}`),
      isFlat: async (kind, id) => store.flat.has(`${kind}/${id}`),
      limits: async (id) => store.limits.get(id) ?? {},
      scribble: async (disk) => void store.contents.set(`disk/${disk}`, "changed by the node"),
    };
  },
};

describe.each(Object.entries(SUBJECTS))("%s", (_, makeSubject) => {
  let subject: Subject;
  let store: ImageStore;
  const golden = Buffer.alloc(1024 * 1024, "golden image ");

  beforeAll(async () => {
    subject = await makeSubject();
    store = subject.store;
    const path = await subject.file("golden.raw", golden);
    await store.import({ image: "img-golden", path, format: "raw" }, () => {}, signal);
  });
  afterAll(() => subject?.close?.());

  it("imports once, and again with the same result", async () => {
    const path = await subject.file("twice.raw", golden);
    const steps: [number, number][] = [];
    const request = { image: "img-twice", path, format: "raw" } as const;
    const first = await store.import(request, (done, total) => steps.push([done, total]), signal);
    expect(first.sizeBytes).toBe(golden.length);
    expect(first.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(steps.at(-1)).toEqual([golden.length, golden.length]);
    expect(await store.import(request, () => {}, signal)).toEqual(first);
  });

  it("clones an image: same content, same size, and the image stays as it is when the clone changes", async () => {
    const image = await subject.content("image", "img-golden");
    expect(await store.clone("img-golden", "disk-1", signal)).toEqual({ sizeBytes: golden.length });
    expect(await subject.content("disk", "disk-1")).toBe(image);
    await subject.scribble("disk-1");
    expect(await subject.content("disk", "disk-1")).not.toBe(image);
    expect(await subject.content("image", "img-golden")).toBe(image);
  });

  it("clones longer than the image, zeros at the end, and reverts to that length", async () => {
    const sizeBytes = 2 * golden.length;
    const long = subject.digestOf(Buffer.concat([golden, Buffer.alloc(golden.length)]), "golden.raw");
    expect(await store.clone("img-golden", "disk-long", signal, sizeBytes)).toEqual({ sizeBytes });
    expect(await store.clone("img-golden", "disk-long", signal, sizeBytes)).toEqual({ sizeBytes });
    expect(await subject.content("disk", "disk-long")).toBe(long);
    await subject.scribble("disk-long");
    await store.revert("disk-long", "img-golden", signal, sizeBytes);
    expect(await subject.content("disk", "disk-long")).toBe(long);
    expect((await store.stat("disk", "disk-long", signal))?.sizeBytes).toBe(sizeBytes);
    await store.revert("disk-long", "img-golden", signal);
    expect((await store.stat("disk", "disk-long", signal))?.sizeBytes).toBe(golden.length);
  });

  it("makes a blank disk once", async () => {
    await store.create("disk-blank", golden.length, signal);
    expect((await store.stat("disk", "disk-blank", signal))?.sizeBytes).toBe(golden.length);
    expect(await subject.content("disk", "disk-blank")).toBe(subject.digestOf(Buffer.alloc(golden.length)));
    await subject.scribble("disk-blank");
    const content = await subject.content("disk", "disk-blank");
    await store.create("disk-blank", golden.length, signal);
    expect(await subject.content("disk", "disk-blank")).toBe(content);
  });

  it("keeps what a disk holds when it is cloned a second time", async () => {
    await store.clone("img-golden", "disk-again", signal);
    await subject.scribble("disk-again");
    const before = await subject.content("disk", "disk-again");
    expect(await store.clone("img-golden", "disk-again", signal)).toEqual({ sizeBytes: golden.length });
    expect(await subject.content("disk", "disk-again")).toBe(before);
  });

  it("snapshots a disk, and a second time changes nothing", async () => {
    await store.clone("img-golden", "disk-2", signal);
    await subject.scribble("disk-2");
    const disk = await subject.content("disk", "disk-2");
    expect(await store.snapshot("disk-2", "img-snap", signal)).toEqual({ sizeBytes: golden.length });
    expect(await subject.content("image", "img-snap")).toBe(disk);
    await store.revert("disk-2", "img-golden", signal);
    await store.snapshot("disk-2", "img-snap", signal);
    expect(await subject.content("image", "img-snap")).toBe(disk);
  });

  it("copies an image; each outlives the other, and a second time changes nothing", async () => {
    await store.clone("img-golden", "disk-copied", signal);
    await subject.scribble("disk-copied");
    await store.snapshot("disk-copied", "img-copied", signal);
    const content = await subject.content("image", "img-copied");
    expect(await store.copy("img-copied", "img-copy", signal)).toEqual({ sizeBytes: golden.length });
    expect(await store.copy("img-golden", "img-copy", signal)).toEqual({ sizeBytes: golden.length });
    await store.remove("image", "img-copied", signal);
    expect(await subject.content("image", "img-copy")).toBe(content);
    await store.clone("img-copy", "disk-of-copy", signal);
    expect(await subject.content("disk", "disk-of-copy")).toBe(content);
    await expect(store.copy("img-none", "img-other", signal)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("reverts a disk, twice", async () => {
    await store.clone("img-golden", "disk-3", signal);
    await subject.scribble("disk-3");
    await store.revert("disk-3", "img-golden", signal);
    await store.revert("disk-3", "img-golden", signal);
    expect(await subject.content("disk", "disk-3")).toBe(await subject.content("image", "img-golden"));
  });

  it("flattens disks and images: same content, nothing shared, and what they came from can go", async () => {
    await store.clone("img-golden", "disk-flat", signal);
    await subject.scribble("disk-flat");
    await store.snapshot("disk-flat", "img-flat", signal);
    await store.clone("img-flat", "disk-of-flat", signal);
    const content = await subject.content("disk", "disk-flat");
    for (const [kind, id] of [
      ["disk", "disk-flat"],
      ["image", "img-flat"],
    ] as const) {
      expect(await subject.isFlat(kind, id)).toBe(false);
      const steps: [number, number][] = [];
      const request = { kind, id, served: false };
      await store.flatten(request, (done, total) => steps.push([done, total]), signal);
      expect(steps.at(-1)?.[1]).toBeGreaterThan(0);
      await store.flatten(request, () => {}, signal);
    }
    expect(await subject.isFlat("disk", "disk-flat")).toBe(true);
    expect(await subject.content("disk", "disk-flat")).toBe(content);
    expect(await subject.content("image", "img-flat")).toBe(content);
    await store.remove("disk", "disk-flat", signal);
    expect(await subject.content("disk", "disk-of-flat")).toBe(content);
    await expect(
      store.flatten({ kind: "disk", id: "disk-none", served: false }, () => {}, signal),
    ).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("loses nothing when a flattening is broken off, and ends it the next time", async () => {
    await store.clone("img-golden", "disk-cut", signal);
    await subject.scribble("disk-cut");
    const content = await subject.content("disk", "disk-cut");
    const request = { kind: "disk", id: "disk-cut", served: false } as const;
    const cut = new AbortController();
    await store
      .flatten(request, () => cut.abort(new ApplianceError("CANCELLED", "cut")), cut.signal)
      .catch((error) => expect(error).toMatchObject({ code: "CANCELLED" }));
    expect(await subject.content("disk", "disk-cut")).toBe(content);
    await store.flatten(request, () => {}, signal);
    expect(await subject.isFlat("disk", "disk-cut")).toBe(true);
    expect(await subject.content("disk", "disk-cut")).toBe(content);
  });

  it("limits a disk, or says what to limit; limits outlast a revert, and are nobody else's", async () => {
    await store.clone("img-golden", "disk-limited", signal);
    await store.limit("disk-limited", {}, signal);
    const both = { iops: 500, bytesPerSecond: 8 * MIB };
    const missing = store.limit("disk-none", both, signal);
    await expect(missing).rejects.toMatchObject({ code: "NOT_FOUND" });
    if (!subject.limits) {
      const refused = store.limit("disk-limited", both, signal);
      await expect(refused).rejects.toMatchObject({
        code: "UNSUPPORTED",
        details: { remedy: expect.stringContaining("ingot-tgtd@") },
      });
      return;
    }
    for (const limits of [both, both, { iops: 700 }, { bytesPerSecond: 4 * MIB }, both]) {
      await store.limit("disk-limited", limits, signal);
      expect(await subject.limits("disk-limited")).toEqual(limits);
    }
    await store.snapshot("disk-limited", "img-of-limited", signal);
    await store.snapshot("disk-limited", "img-of-limited", signal);
    await store.setAside("disk-limited", "img-limited-aside", signal);
    await store.clone("img-of-limited", "disk-of-limited", signal);
    for (const id of ["img-of-limited", "img-limited-aside", "disk-of-limited"]) {
      expect(await subject.limits(id), id).toEqual({});
    }
    await store.revert("disk-limited", "img-of-limited", signal);
    expect(await subject.limits("disk-limited")).toEqual(both);
    await store.limit("disk-limited", {}, signal);
    await store.limit("disk-limited", {}, signal);
    expect(await subject.limits("disk-limited")).toEqual({});
    await store.revert("disk-limited", "img-of-limited", signal);
    expect(await subject.limits("disk-limited")).toEqual({});
  });

  it("reads an image, whole or a part, plain or packed", async () => {
    const whole = await buffer(await store.read({ image: "img-golden" }, signal));
    expect(whole.equals(golden)).toBe(true);
    for (const [first, last] of [
      [0, 0],
      [511, 70_000],
      [golden.length - 1, golden.length - 1],
      [0, golden.length - 1],
    ] as const) {
      const part = await buffer(await store.read({ image: "img-golden", range: { first, last } }, signal));
      expect(part.equals(whole.subarray(first, last + 1)), `${first}-${last}`).toBe(true);
    }
    const packed = await buffer(await store.read({ image: "img-golden", compression: "zst" }, signal));
    expect(packed.length).toBeLessThan(whole.length / 10);
    expect(zstdDecompressSync(packed).equals(whole)).toBe(true);
    await expect(store.read({ image: "img-none" }, signal)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("gives an image as qcow2, sparse, the same in every part, without fault and with the image's content", async () => {
    const raw = Buffer.alloc(64 * MIB + 512);
    // it begins as another qcow2 image, and is only bytes
    raw.write("QFI\xfb\0\0\0\x03", "latin1");
    raw.fill("in the middle ", 37 * MIB + 512, 38 * MIB + 1024);
    raw.fill("at the end ", raw.length - 512);
    await store.import(
      { image: "img-sparse", path: await subject.file("sparse.raw", raw), format: "raw" },
      () => {},
      signal,
    );
    await checkQcow2("img-sparse", raw);
    expect((await store.layout("img-sparse", signal)).sizeBytes).toBeLessThan(20 * MIB);
    await expect(store.layout("img-none", signal)).rejects.toMatchObject({ code: "NOT_FOUND" });
    const range = { first: 0, last: 10 };
    const stale = store.read({ image: "img-sparse", range, layout: "0000000000000000" }, signal);
    await expect(stale).rejects.toMatchObject({ code: "CONFLICT" });
  });

  it("gives as qcow2 what an image shares with others too, and once it is flat", async () => {
    await store.clone("img-golden", "disk-qcow2", signal, 24 * MIB);
    await subject.scribble("disk-qcow2");
    await store.snapshot("disk-qcow2", "img-qcow2", signal);
    await store.clone("img-qcow2", "disk-qcow2-child", signal, 32 * MIB);
    await store.snapshot("disk-qcow2-child", "img-qcow2-child", signal);
    const raw = await buffer(await store.read({ image: "img-qcow2-child" }, signal));
    await checkQcow2("img-qcow2-child", raw);
    await store.flatten({ kind: "image", id: "img-qcow2-child", served: false }, () => {}, signal);
    await checkQcow2("img-qcow2-child", raw);
  });

  /** Compares what `read` gives of an image as qcow2 with its content, by QEMU's own programs, and its parts with the whole. */
  async function checkQcow2(image: string, raw: Buffer): Promise<void> {
    const { sizeBytes, digest } = await store.layout(image, signal);
    const read = async (first: number, last: number) =>
      buffer(await store.read({ image, range: { first, last }, layout: digest }, signal));
    const whole = await read(0, sizeBytes - 1);
    expect(whole.length).toBe(sizeBytes);
    const paths = {
      raw: join(pools.plain("qcow2"), "content.raw"),
      qcow2: join(pools.plain("qcow2"), "content.qcow2"),
    };
    await writeFile(paths.raw, raw);
    await writeFile(paths.qcow2, whole);
    const said = JSON.parse(await run("qemu-img", ["check", "-f", "qcow2", "--output", "json", paths.qcow2]));
    expect([said["check-errors"], said.corruptions ?? 0, said.leaks ?? 0]).toEqual([0, 0, 0]);
    const told = JSON.parse(await run("qemu-img", ["info", "-f", "qcow2", "--output", "json", paths.qcow2]));
    expect(told["virtual-size"]).toBe(raw.length);
    await run("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", paths.raw, paths.qcow2]);
    for (const [first, last] of [
      [0, 0],
      [100, 70_000],
      [300_000, sizeBytes - 1],
      [sizeBytes - 70_000, sizeBytes - 1],
    ] as const) {
      expect((await read(first, last)).equals(whole.subarray(first, last + 1)), `${first}-${last}`).toBe(true);
    }
  }

  it("removes, and what is gone is gone already", async () => {
    await store.clone("img-golden", "disk-4", signal);
    await store.snapshot("disk-4", "img-4", signal);
    for (const [kind, id] of [
      ["disk", "disk-4"],
      ["image", "img-4"],
    ] as const) {
      expect((await store.stat(kind, id, signal))?.sizeBytes).toBe(golden.length);
      await store.remove(kind, id, signal);
      await store.remove(kind, id, signal);
      expect(await store.stat(kind, id, signal)).toBeUndefined();
    }
  });

  it("lists all it keeps, by kind and id", async () => {
    await store.clone("img-golden", "disk-listed", signal);
    const list = await store.list(signal);
    expect(list).toContainEqual({ kind: "image", id: "img-golden" });
    expect(list).toContainEqual({ kind: "disk", id: "disk-listed" });
    expect(list).not.toContainEqual({ kind: "disk", id: "img-golden" });
  });

  it("says NOT_FOUND for what it does not keep", async () => {
    await store.clone("img-golden", "disk-5", signal);
    const missing = { code: "NOT_FOUND" };
    await expect(store.clone("img-none", "disk-none", signal)).rejects.toMatchObject(missing);
    await expect(store.snapshot("disk-none", "img-none", signal)).rejects.toMatchObject(missing);
    await expect(store.revert("disk-none", "img-golden", signal)).rejects.toMatchObject(missing);
    await expect(store.revert("disk-5", "img-none", signal)).rejects.toMatchObject(missing);
    expect(await store.stat("disk", "disk-none", signal)).toBeUndefined();
  });

  it("tells size and free space, and what to serve of a disk", async () => {
    const { totalBytes, freeBytes } = await store.usage(signal);
    expect(freeBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes);
    expect((await store.backing("disk-1")).path).toContain("disk-1");
  });
});
