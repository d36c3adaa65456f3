/**
 * What every image exchange does. Files: on a real pool and in the fake. Volumes of Ceph: a real cluster with a pool of
 * virtual machines beside the appliance's own.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createImageExchange } from "../../src/drivers/images/exchange/create-exchange.ts";
import { createRbdExchange } from "../../src/drivers/images/exchange/rbd-exchange.ts";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { FileExport, ImageExchange } from "../../src/drivers/images/image-exchange.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { MemoryImageExchange } from "../fakes/memory-image-exchange.ts";
import { MemoryImageStore } from "../fakes/memory-image-store.ts";
import { LoopPools } from "../integration/loop-pools.ts";
import { type CephCluster, createCephCluster, createVolumePool, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";

const CLUSTER = "/var/tmp/ingot-exchange-ceph";
const signal = AbortSignal.timeout(400_000);
const about = { name: "golden", project: "default" };
const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");

type Subject = { images: ImageStore; exchange: ImageExchange; exports: string; close?(): unknown };

let pools: LoopPools;
let cluster: CephCluster;
/** Begins as a qcow2 file does, and is none. */
const golden = Buffer.concat([Buffer.from("QFI\xfb\0\0\0\x03", "latin1"), Buffer.alloc(4 * 1024 * 1024 - 8)]);
golden.fill("content ", 2 * 1024 * 1024, 2 * 1024 * 1024 + 100_000);

beforeAll(async () => {
  pools = new LoopPools();
  await destroyEverything(CLUSTER);
  cluster = await createCephCluster(loopbackHost(CLUSTER), { port: 28_500 });
});
afterAll(async () => {
  await destroyEverything(CLUSTER);
  pools.remove();
});

const maxImageBytes = 1024 ** 4;
const limits = { maxImageBytes, checkFree: async () => {} };

async function fileSubject(): Promise<Subject> {
  const [directory, imports, exports] = [
    await pools.make("exchange", "xfs"),
    pools.plain("imports"),
    pools.plain("out"),
  ];
  const images = await openFileStore({ directory, importDirectories: [imports], maxImageBytes });
  await writeFile(join(imports, "golden"), golden);
  await images.import({ image: "img-golden", path: join(imports, "golden"), format: "raw" }, () => {}, signal);
  return {
    images,
    exchange: createImageExchange({ images, exportDirectories: [exports], importDirectories: [imports], ...limits }),
    exports,
  };
}

async function rbdSubject(): Promise<Subject> {
  const [imports, exports] = [pools.plain("rbd-imports"), pools.plain("rbd-out")];
  const { conf, user, pool } = cluster;
  const access = { conf, user, pool };
  const rbd = createLibrbdPool(access);
  const spoolDirectory = pools.plain("rbd-spool");
  const images = openRbdStore({ pool: rbd, access, importDirectories: [imports], spoolDirectory, maxImageBytes });
  await writeFile(join(imports, "golden"), golden);
  await images.import({ image: "img-golden", path: join(imports, "golden"), format: "raw" }, () => {}, signal);
  const exchange = createImageExchange(
    { images, exportDirectories: [exports], importDirectories: [imports], access, ...limits },
    createRbdExchange(access),
  );
  return { images, exchange, exports, close: () => rbd.close() };
}

async function memorySubject(): Promise<Subject> {
  const images = new MemoryImageStore();
  images.contents.set("image/img-golden", "golden ");
  return { images, exchange: new MemoryImageExchange(images), exports: "/exports" };
}

const SUBJECTS: Record<string, () => Promise<Subject>> = {
  "from a pool of files": fileSubject,
  "from Ceph": rbdSubject,
  "of the fake": memorySubject,
};

describe.each(Object.entries(SUBJECTS))("files %s", (name, makeSubject) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await makeSubject();
  });
  afterAll(() => subject?.close?.());

  const request = (file: string, change: Partial<FileExport> = {}): FileExport => ({
    ...{ id: `exp-${file.replaceAll(/[./]/g, "-")}`, image: "img-golden", path: join(subject.exports, file) },
    ...{ format: "raw", compression: "none", about },
    ...change,
  });
  const exportIt = (one: FileExport) => subject.exchange.exportFile(one, () => {}, signal);

  it("tell what they hold, and are the same when written again", async () => {
    const content = await buffer(await subject.images.read({ image: "img-golden" }, signal));
    const steps: [number, number][] = [];
    const first = await subject.exchange.exportFile(
      request("whole.raw"),
      (done, total) => steps.push([done, total]),
      signal,
    );
    expect(first).toMatchObject({ schema: 1, file: "whole.raw", sizeBytes: content.length, sha256: sha256(content) });
    const [done, total] = steps.at(-1)!;
    expect(done).toBe(total);
    expect(await exportIt(request("whole.raw"))).toEqual(first);
  });

  it("take no place of others", async () => {
    await exportIt(request("taken.raw"));
    const other = request("taken.raw", { id: "exp-other" });
    await expect(exportIt(other)).rejects.toMatchObject({ code: "EXISTS" });
    await subject.exchange.removeExport(other, signal);
    await expect(exportIt(other)).rejects.toMatchObject({ code: "EXISTS" });
    await subject.exchange.removeExport(request("taken.raw"), signal);
    await subject.exchange.removeExport(request("taken.raw"), signal);
    await exportIt(other);
  });

  it("come of what there is", async () => {
    await expect(exportIt(request("none.raw", { image: "img-none" }))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  if (name === "of the fake") return;

  it.each([
    ["raw", "none"],
    ["raw", "zst"],
    ["qcow2", "none"],
    ["qcow2", "zst"],
  ] as const)(
    "as %s, packed by %s, hold the same bytes and a manifest, and nothing else is left",
    async (format, compression) => {
      const file = `disk.${format}${compression === "zst" ? ".zst" : ""}`;
      const one = request(file, { format, compression });
      const manifest = await exportIt(one);
      expect(JSON.parse(await readFile(`${one.path}.json`, "utf8"))).toEqual(manifest);
      expect(manifest.fileSha256).toBe(sha256(await readFile(one.path)));
      expect(manifest.sha256).toBe(sha256(golden));
      let plain = one.path;
      if (compression === "zst") {
        plain = join(subject.exports, "plain");
        execFileSync("zstd", ["-dqf", one.path, "-o", plain]);
      }
      if (format === "qcow2") {
        execFileSync("qemu-img", ["check", "-q", "-f", "qcow2", plain]);
        execFileSync("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", plain, `${plain}.out`]);
        plain = `${plain}.out`;
      }
      expect(sha256(await readFile(plain))).toBe(sha256(golden));
      expect((await stat(one.path)).blocks * 512).toBeLessThan(golden.length / 4);
      await rm(join(subject.exports, "plain"), { force: true });
      await rm(`${one.path}.out`, { force: true });
      await rm(join(subject.exports, "plain.out"), { force: true });
      expect((await readdir(subject.exports)).filter((found) => found.startsWith("."))).toEqual([]);
    },
  );

  it("broken off leave nothing, and end when they are begun again", async () => {
    const one = request("cut.raw");
    const cut = new AbortController();
    await expect(subject.exchange.exportFile(one, () => cut.abort(), cut.signal)).rejects.toMatchObject({
      code: "CANCELLED",
    });
    await exportIt(one);
    const killed = request("killed.raw");
    // as a crash leaves it: linked, and not described yet
    await writeFile(join(subject.exports, `.killed.raw.${killed.id}.unfinished`), "half");
    await exportIt(killed);
    expect(sha256(await readFile(killed.path))).toBe(sha256(golden));
    await subject.exchange.removeExport(killed, signal);
    await subject.exchange.removeExport(one, signal);
    expect((await readdir(subject.exports)).filter((found) => /cut|killed/.test(found))).toEqual([]);
  });

  it("go nowhere else", async () => {
    await symlink("/tmp", join(subject.exports, "link"));
    await mkdir(join(subject.exports, "below"), { recursive: true });
    await exportIt(request("below/fine.raw"));
    for (const path of [
      "/etc/golden.raw",
      `${subject.exports}/../golden.raw`,
      join(subject.exports, "link/golden.raw"),
    ]) {
      await expect(exportIt(request("x", { path })), path).rejects.toMatchObject({ code: "FORBIDDEN" });
    }
    await expect(exportIt(request("nowhere/x.raw"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("volumes of Ceph", () => {
  let subject: Subject;
  const volume = join(CLUSTER, "volume.raw");
  const contentOf = async (spec: string) => {
    const path = join(CLUSTER, "exported");
    await rm(path, { force: true });
    await cluster.rbd("export", "--no-progress", spec, path);
    return sha256(await readFile(path));
  };

  beforeAll(async () => {
    subject = await rbdSubjectOnce();
    await createVolumePool(cluster, "vms");
    const content = Buffer.alloc(8 * 1024 * 1024);
    content.fill("a volume ", 4_000_000, 5_000_000);
    await writeFile(volume, content);
    await cluster.rbd("import", "--no-progress", volume, "vms/web-1");
    await cluster.rbd("snap", "create", "--no-progress", "vms/web-1@golden");
  });
  afterAll(() => subject?.close?.());

  const rbdSubjectOnce = async (): Promise<Subject> => {
    const { conf, user, pool } = cluster;
    const access = { conf, user, pool };
    const rbd = createLibrbdPool(access);
    const images = openRbdStore({ pool: rbd, access, importDirectories: [], spoolDirectory: CLUSTER, maxImageBytes });
    const exchange = createImageExchange(
      { images, exportDirectories: [], importDirectories: [], ...limits },
      createRbdExchange(access),
    );
    return { images, exchange, exports: "", close: () => rbd.close() };
  };

  it.each([
    ["as they are now", "vms/web-1", "img-now"],
    ["as a snapshot of theirs is", "vms/web-1@golden", "img-then"],
  ])("become images %s, and disks, and go back with the same bytes", async (_, source, image) => {
    const { images, exchange } = subject;
    const expected = sha256(await readFile(volume));
    await cluster.rbd("image-meta", "set", "vms/web-1", "conf_rbd_qos_iops_limit", "100000");
    expect(await exchange.adoptRbd({ image, source }, signal)).toEqual({ sizeBytes: 8 * 1024 * 1024 });
    expect(await exchange.adoptRbd({ image, source }, signal)).toEqual({ sizeBytes: 8 * 1024 * 1024 });
    expect(sha256(await buffer(await images.read({ image }, signal)))).toBe(expected);
    const disk = image.replace("img", "disk");
    await images.clone(image, disk, signal);
    expect(await contentOf(`ingot/${disk}`)).toBe(expected);
    const metadata = await cluster.rbd("image-meta", "list", `ingot/${disk}`);
    expect(metadata).toMatch(/conf_rbd_cache\s+false/);
    expect(metadata).not.toMatch(/qos/);
    // nothing of ours stays at the volume that anybody has to look after
    expect(await cluster.rbd("snap", "ls", "vms/web-1")).not.toContain("ingot-");

    const steps: [number, number][] = [];
    const publication = { id: `exp-${image}`, image, target: `vms/back-${image}` };
    const progress = (done: number, total: number) => steps.push([done, total]);
    await exchange.publishRbd(publication, progress, signal);
    await exchange.publishRbd(publication, progress, signal);
    expect(steps.at(-1)).toEqual([8 * 1024 * 1024, 8 * 1024 * 1024]);
    expect(await contentOf(publication.target)).toBe(expected);
    expect(await cluster.rbd("info", publication.target)).not.toContain("parent:");
    expect(await cluster.rbd("image-meta", "list", publication.target)).not.toContain("conf_rbd_cache");
  });

  it("are not overwritten, nor taken away from others", async () => {
    const { exchange } = subject;
    await exchange.adoptRbd({ image: "img-again", source: "vms/web-1" }, signal);
    const onto = { id: "exp-onto", image: "img-again", target: "vms/web-1" };
    await expect(exchange.publishRbd(onto, () => {}, signal)).rejects.toMatchObject({ code: "EXISTS" });
    await exchange.unpublishRbd(onto, signal);
    expect(await contentOf("vms/web-1")).toBe(sha256(await readFile(volume)));
    const fine = { id: "exp-fine", image: "img-again", target: "vms/fine" };
    await exchange.publishRbd(fine, () => {}, signal);
    await exchange.unpublishRbd(fine, signal);
    await exchange.unpublishRbd(fine, signal);
    expect(await cluster.rbd("ls", "vms")).not.toMatch(/fine|new\./);
  });

  it("leave nothing behind when it is broken off", async () => {
    const { images, exchange } = subject;
    const cut = new AbortController();
    const publication = { id: "exp-cut", image: "img-again", target: "vms/cut" };
    await exchange.publishRbd(publication, () => cut.abort(), cut.signal).catch(() => {});
    await exchange.unpublishRbd(publication, signal);
    expect(await cluster.rbd("ls", "vms")).not.toMatch(/cut|new\./);
    // as a crash leaves it, between snapshot and clone
    await cluster.rbd("snap", "create", "--no-progress", "vms/web-1@ingot-img-half");
    await images.remove("image", "img-half", signal);
    await exchange.endAdoption({ image: "img-half", source: "vms/web-1" }, signal);
    expect(await cluster.rbd("snap", "ls", "vms/web-1")).not.toContain("ingot-");
  });

  it("are named as they should", async () => {
    const { exchange } = subject;
    for (const source of ["web-1", "vms/web-1@", "vms/a/b", "vms/../x", "-p/x", "vms/a b", ""]) {
      await expect(exchange.adoptRbd({ image: "img-x", source }, signal), source).rejects.toMatchObject({
        code: expect.stringMatching(/INVALID|NOT_FOUND/),
      });
    }
    for (const source of ["vms/none", "vms/web-1@none", "none/web-1"]) {
      await expect(exchange.adoptRbd({ image: "img-x", source }, signal), source).rejects.toMatchObject({
        code: "NOT_FOUND",
      });
    }
    await expect(exchange.adoptRbd({ image: "img-x", source: "ingot/img-now" }, signal)).rejects.toMatchObject({
      code: "INVALID",
    });
    const own = { id: "exp-own", image: "img-again", target: "ingot/mine" };
    await expect(exchange.publishRbd(own, () => {}, signal)).rejects.toMatchObject({ code: "INVALID" });
  });

  it("are no business of a pool of files", async () => {
    const { exchange } = await memoryOfFiles();
    const unsupported = { code: "UNSUPPORTED" };
    await expect(exchange.adoptRbd({ image: "img-x", source: "vms/web-1" }, signal)).rejects.toMatchObject(unsupported);
    await expect(
      exchange.publishRbd({ id: "exp-x", image: "img-golden", target: "vms/x" }, () => {}, signal),
    ).rejects.toMatchObject(unsupported);
  });
});

describe("a restore drill", () => {
  const MIB = 1024 ** 2;
  const contents = [0, 1, 2].map(() => Buffer.alloc(16 * MIB));
  let away: string;
  let exports: string;

  /** Three days of a disk: what the first holds, a change, and one that takes content away and goes to the very end. */
  beforeAll(async () => {
    const [first, second, third] = contents as [Buffer, Buffer, Buffer];
    first.fill("first day ", 3 * MIB, 5 * MIB);
    first.copy(second);
    second.fill("second day ", 4 * MIB + 100, 4 * MIB + 70_000);
    second.copy(third);
    third.fill(0, 3 * MIB, 4 * MIB);
    third.fill("third", 16 * MIB - 5);
    const [directory, imports] = [await pools.make("drill", "xfs"), pools.plain("drill-imports")];
    exports = pools.plain("drill-exports");
    away = pools.plain("drill-away");
    const images = await openFileStore({ directory, importDirectories: [imports], maxImageBytes });
    const parts = { images, exportDirectories: [exports], importDirectories: [imports], ...limits };
    const exchange = createImageExchange(parts);
    for (const [day, content] of contents.entries()) {
      await writeFile(join(imports, "day"), content);
      await images.import({ image: `img-day-${day}`, path: join(imports, "day"), format: "raw" }, () => {}, signal);
      const since = day === 0 ? {} : { since: { image: `img-day-${day - 1}`, name: `day-${day - 1}` } };
      const one = { id: `exp-day-${day}`, image: `img-day-${day}`, about: { name: `day-${day}`, project: "default" } };
      const how = day === 0 ? ({ format: "raw", compression: "zst" } as const) : INCREMENTAL[day - 1]!;
      const manifest = await exchange.exportFile(
        { ...one, ...how, ...since, path: join(exports, `day-${day}`) },
        () => {},
        signal,
      );
      expect(manifest.sha256).toBe(sha256(content));
      if (day > 0) expect(manifest.since?.sha256).toBe(sha256(contents[day - 1]!));
    }
    expect((await stat(join(exports, "day-1"))).size).toBeLessThan(3 * 64 * 1024);
    execFileSync("cp", ["-r", `${exports}/.`, away]);
  });

  const INCREMENTAL = [
    { format: "rbd-diff", compression: "none" },
    { format: "rbd-diff", compression: "zst" },
  ] as const;

  const restorers: Record<string, () => Promise<Subject>> = {
    "a pool of files": async () => {
      const directory = await pools.make("drilled", "btrfs");
      const images = await openFileStore({ directory, importDirectories: [away], maxImageBytes });
      const exchange = createImageExchange({ images, exportDirectories: [], importDirectories: [away], ...limits });
      return { images, exchange, exports: "" };
    },
    Ceph: async () => {
      const { conf, user, pool } = cluster;
      const access = { conf, user, pool };
      const rbd = createLibrbdPool(access);
      const spoolDirectory = pools.plain("drill-spool");
      const images = openRbdStore({ pool: rbd, access, importDirectories: [away], spoolDirectory, maxImageBytes });
      const parts = { images, exportDirectories: [], importDirectories: [away], access, ...limits };
      return {
        images,
        exchange: createImageExchange(parts, createRbdExchange(access)),
        exports: "",
        close: () => rbd.close(),
      };
    },
  };

  it.each(Object.entries(restorers))(
    "gives all days back on another appliance's %s, from one full export and two increments",
    async (_, make) => {
      const { images, exchange, close } = await make();
      const full = { image: "img-back-0", path: join(away, "day-0"), format: "raw", compression: "zst" } as const;
      expect((await images.import(full, () => {}, signal)).sha256).toBe(sha256(contents[0]!));
      for (const day of [1, 2]) {
        const increment = { image: `img-back-${day}`, base: `img-back-${day - 1}`, path: join(away, `day-${day}`) };
        const expected = { sizeBytes: 16 * MIB, sha256: sha256(contents[day]!) };
        expect(await exchange.applyIncrement(increment, () => {}, signal)).toEqual(expected);
        expect(await exchange.applyIncrement(increment, () => {}, signal)).toEqual(expected);
        expect(sha256(await buffer(await images.read({ image: increment.image }, signal)))).toBe(expected.sha256);
      }
      // onto the wrong image it makes another content, which is told
      const wrong = { image: "img-wrong", base: "img-back-2", path: join(away, "day-1") };
      await expect(exchange.applyIncrement(wrong, () => {}, signal)).rejects.toMatchObject({ code: "INVALID" });
      await exchange.endIncrement(wrong, signal);
      await images.remove("image", "img-wrong", signal);
      const there = (await images.list(signal)).map(({ id }) => id).filter((id) => /back|wrong/.test(id));
      expect(there.sort()).toEqual(["img-back-0", "img-back-1", "img-back-2"]);
      await close?.();
    },
  );

  it("takes no increment that is damaged, and none without its manifest", async () => {
    const { images, exchange } = await restorers["a pool of files"]!();
    const full = { image: "img-d", path: join(away, "day-0"), format: "raw", compression: "zst" } as const;
    await images.import(full, () => {}, signal);
    const whole = await readFile(join(away, "day-1"));
    const increment = { image: "img-e", base: "img-d", path: join(away, "damaged") };
    await writeFile(increment.path, whole.subarray(0, -1));
    await expect(exchange.applyIncrement(increment, () => {}, signal)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await writeFile(`${increment.path}.json`, await readFile(join(away, "day-1.json")));
    await expect(exchange.applyIncrement(increment, () => {}, signal)).rejects.toMatchObject({ code: "INVALID" });
    await writeFile(`${increment.path}.json`, "{}");
    await expect(exchange.applyIncrement(increment, () => {}, signal)).rejects.toMatchObject({ code: "INVALID" });
    expect(await images.stat("image", "img-e", signal)).toBeUndefined();
  });
});

async function memoryOfFiles(): Promise<Subject> {
  const images = new MemoryImageStore();
  return {
    images,
    exchange: createImageExchange({ images, exportDirectories: [], importDirectories: [], ...limits }),
    exports: "",
  };
}
