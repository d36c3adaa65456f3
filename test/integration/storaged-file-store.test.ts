/** What is particular to the reflink pool: sharing, sparseness, formats, confinement, room. Real programs. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { makePool, unmountPool } from "../../src/storaged/make-pool.ts";
import { LoopPools } from "./loop-pools.ts";
import { until } from "./until.ts";

const MIB = 1024 ** 2;
const signal = AbortSignal.timeout(170_000);
let pools: LoopPools;
let pool: string;
let imports: string;
let store: ImageStore;

beforeAll(async () => {
  pools = new LoopPools();
  pool = await pools.make("main", "xfs");
  imports = pools.plain("imports");
  store = await openFileStore({ directory: pool, importDirectories: [imports] });
});
afterAll(() => pools.remove());

const stored = (kind: "image" | "disk", id: string) => join(pool, `${kind}s`, `${id}.raw`);
const free = async () => (await store.usage(signal)).freeBytes;
const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");
const qemuImg = (...words: string[]) => execFileSync("qemu-img", words, { stdio: "pipe", cwd: imports });

function source(name: string, content: Buffer): string {
  writeFileSync(join(imports, name), content);
  return join(imports, name);
}

function importAs(image: string, path: string, format: "raw" | "qcow2" = "raw") {
  return store.import({ image, path, format }, () => {}, signal);
}

/** Content, a hole, content. */
function spotted(bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  content.fill("start", 0, MIB);
  content.fill("end", bytes - MIB);
  return content;
}

describe("clones", () => {
  it("cost next to no room and no time that grows with the image", async () => {
    await importAs("img-big", source("big.raw", Buffer.alloc(64 * MIB, "x")));
    const before = await free();
    const started = performance.now();
    for (let n = 0; n < 10; n++) await store.clone("img-big", `disk-big-${n}`, signal);
    console.log(`clone of 64 MiB: ${((performance.now() - started) / 10).toFixed(1)} ms`);
    expect(before - (await free())).toBeLessThan(4 * MIB);
  });

  it("can be written, images can't", async () => {
    await store.snapshot("disk-big-0", "img-snap", signal);
    const mode = (path: string) => statSync(path).mode & 0o777;
    expect(mode(stored("disk", "disk-big-0"))).toBe(0o600);
    expect(mode(stored("image", "img-big"))).toBe(0o444);
    expect(mode(stored("image", "img-snap"))).toBe(0o444);
    await store.revert("disk-big-0", "img-big", signal);
    expect(mode(stored("disk", "disk-big-0"))).toBe(0o600);
  });

  it("asked for twice at a time are made once; a removal waits for its turn", async () => {
    const clone = () => store.clone("img-big", "disk-race", signal);
    const [one, two] = await Promise.all([clone(), clone(), store.remove("disk", "disk-race", signal)]);
    expect(one).toEqual(two);
    expect(await store.stat("disk", "disk-race", signal)).toBeUndefined();
    expect(readdirSync(join(pool, "tmp"))).toEqual([]);
  });

  it("have ids for names, and nothing that leads elsewhere", async () => {
    for (const id of ["../disk", "a/b", "", ".", "disk.1", "Disk"]) {
      await expect(store.clone("img-big", id, signal)).rejects.toMatchObject({
        code: "INVALID",
        details: { field: "disk" },
      });
    }
  });
});

describe("import", () => {
  it("keeps holes, makes holes of zeros, and tells the checksum of the raw content", async () => {
    const content = spotted(32 * MIB);
    const result = await importAs("img-raw", source("spotted.raw", content));
    expect(result).toEqual({ sizeBytes: content.length, sha256: sha256(content), paddedBytes: 0 });
    expect(readFileSync(stored("image", "img-raw")).equals(content)).toBe(true);
    expect((await store.stat("image", "img-raw", signal))!.usedBytes).toBeLessThan(3 * MIB);
  });

  it.each([
    ["-o", "compat=0.10"],
    ["-o", "compat=1.1"],
    ["-c"],
    ["-c", "-o", "compression_type=zstd"],
    ["-o", "extended_l2=on"],
  ])("reads qcow2 made with %s %s", async (...options) => {
    const content = spotted(8 * MIB);
    source("plain.raw", content);
    const name = `made${options.join("").replace(/[^a-z0-9]/g, "")}`;
    qemuImg("convert", "-O", "qcow2", ...options, "plain.raw", `${name}.qcow2`);
    chmodSync(join(imports, `${name}.qcow2`), 0o600);
    const steps: [number, number][] = [];
    const request = { image: `img-${name}`, path: join(imports, `${name}.qcow2`), format: "qcow2" } as const;
    const result = await store.import(request, (done, total) => steps.push([done, total]), signal);
    expect(result).toEqual({ sizeBytes: content.length, sha256: sha256(content), paddedBytes: 0 });
    // for root alone: copied to where nobody may read it, converted, read
    expect(steps.at(-1)).toEqual([3 * content.length, 3 * content.length]);
    expect(statSync(stored("image", `img-${name}`))).toMatchObject({ uid: 0, gid: 0 });
    expect((await store.stat("image", `img-${name}`, signal))!.usedBytes).toBeLessThan(3 * MIB);
  });

  it("pads an odd size to whole sectors, and says so", async () => {
    const content = Buffer.alloc(1000, "odd");
    const padded = Buffer.concat([content, Buffer.alloc(24)]);
    const result = await importAs("img-odd", source("odd.raw", content));
    expect(result).toEqual({ sizeBytes: 1024, sha256: sha256(padded), paddedBytes: 24 });
    expect(readFileSync(stored("image", "img-odd")).equals(padded)).toBe(true);
  });

  it("believes the stated format: qcow2 stated raw is stored byte by byte", async () => {
    qemuImg("create", "-f", "qcow2", "inner.qcow2", "1M");
    const bytes = readFileSync(join(imports, "inner.qcow2"));
    const { paddedBytes } = await importAs("img-opaque", join(imports, "inner.qcow2"));
    expect(readFileSync(stored("image", "img-opaque")).equals(Buffer.concat([bytes, Buffer.alloc(paddedBytes)]))).toBe(
      true,
    );
  });

  it.each([
    ["a backing file", ["create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "bad.qcow2", "1M"]],
    ["an external data file", ["create", "-f", "qcow2", "-o", "data_file=data.raw", "bad.qcow2", "1M"]],
    ["is not a qcow2 image", ["create", "-f", "raw", "bad.qcow2", "1M"]],
  ])("refuses qcow2 with %s", async (what, command) => {
    rmSync(join(imports, "bad.qcow2"), { force: true });
    qemuImg(...command);
    const attempt = importAs("img-bad", join(imports, "bad.qcow2"), "qcow2");
    await expect(attempt).rejects.toMatchObject({ code: "INVALID", message: expect.stringContaining(what) });
    expect(await store.stat("image", "img-bad", signal)).toBeUndefined();
  });

  it("takes files of the import directories only, by whatever way they are named", async () => {
    const outside = join(pools.plain("elsewhere"), "secret.raw");
    writeFileSync(outside, Buffer.alloc(512, 1));
    symlinkSync(outside, join(imports, "link.raw"));
    mkdirSync(join(imports, "folder"));
    for (const path of [outside, join(imports, "link.raw"), `${imports}/../elsewhere/secret.raw`, `${imports}-too/x`]) {
      await expect(importAs("img-stolen", path)).rejects.toMatchObject({ code: "FORBIDDEN" });
    }
    for (const path of [join(imports, "none.raw"), join(imports, "folder")]) {
      await expect(importAs("img-stolen", path)).rejects.toMatchObject({ code: "NOT_FOUND" });
    }
  });

  it.each(["raw", "qcow2"] as const)("of %s stops at once when cancelled, and leaves nothing", async (format) => {
    const path = join(imports, `endless.${format}`);
    if (format === "raw") truncateSync(source("endless.raw", Buffer.alloc(1)), 1024 ** 4);
    else qemuImg("create", "-f", "qcow2", "-o", "preallocation=metadata", path, "60G");
    const abort = new AbortController();
    const request = { image: "img-endless", path, format } as const;
    const running = store.import(request, () => {}, abort.signal);
    await until("a child process works", () => children().length > 0);
    if (format === "qcow2") await expectConfined();
    abort.abort();
    await expect(running).rejects.toMatchObject({ code: "CANCELLED" });
    expect(children()).toEqual([]);
    expect(readdirSync(join(pool, "tmp"))).toEqual([]);
    expect(await store.stat("image", "img-endless", signal)).toBeUndefined();
  });
});

/** qemu-img runs as nobody, without any right, alone, without network, and sees no file but the system's programs. */
async function expectConfined(): Promise<void> {
  let pid = "";
  await until("qemu-img runs", () => {
    pid = descendants(String(process.pid)).find((one) => /^Name:\s+qemu-img$/m.test(status(one))) ?? "";
    return pid !== "";
  });
  const field = (name: string) => new RegExp(`^${name}:\\t(.*?) ?$`, "m").exec(status(pid))?.[1];
  expect(field("Uid")).toBe("65534\t65534\t65534\t65534");
  expect(field("Gid")).toBe("65534\t65534\t65534\t65534");
  expect(field("Groups")).toBe("");
  const none = "0000000000000000";
  expect(["CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"].map(field)).toEqual([none, none, none, none, none]);
  expect(field("NoNewPrivs")).toBe("1");
  for (const kind of ["mnt", "pid", "net", "ipc", "uts"]) {
    expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
  }
  expect(readdirSync(`/proc/${pid}/root`).sort()).toEqual(["dev", "lib", "lib64", "proc", "usr"]);
  expect(readFileSync(`/proc/${pid}/limits`, "latin1")).toMatch(/^Max address space +2147483648 /m);
}

function status(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

function descendants(pid: string): string[] {
  try {
    const own = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    return own.flatMap((one) => [one, ...descendants(one)]);
  } catch {
    return [];
  }
}

/** The processes that this one has started and that still run. */
function children(): string[] {
  return readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);
}

describe("room", () => {
  it("is asked for before an import, and POOL_FULL says what to do", async () => {
    execFileSync("fallocate", ["-l", "600M", join(imports, "fat.raw")]);
    const error = await importAs("img-fat", join(imports, "fat.raw")).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "POOL_FULL", retryable: false, details: { remedy: expect.any(String) } });
    rmSync(join(imports, "fat.raw"));
  });

  it("may run out during an import: POOL_FULL, and the room is there again", async () => {
    const directory = await pools.make("small", "xfs", 320 * MIB);
    const small = await openFileStore({ directory, importDirectories: [imports] });
    truncateSync(source("bomb.raw", Buffer.alloc(320 * MIB, "x")), 400 * MIB);
    qemuImg("convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", "bomb.raw", "bomb.qcow2");
    rmSync(join(imports, "bomb.raw"));
    const before = (await small.usage(signal)).freeBytes;
    const request = { image: "img-bomb", path: join(imports, "bomb.qcow2"), format: "qcow2" } as const;
    await expect(small.import(request, () => {}, signal)).rejects.toMatchObject({ code: "POOL_FULL" });
    const freed = async () => (await small.usage(signal)).freeBytes >= before - MIB;
    await until("XFS gives the room back", freed);
  });

  it("is refused to clones of a pool that is full to the reserve", async () => {
    const rest = join(pool, "rest");
    execFileSync("fallocate", ["-l", String((await free()) - 16 * MIB), rest]);
    await expect(store.clone("img-odd", "disk-late", signal)).rejects.toMatchObject({ code: "POOL_FULL" });
    rmSync(rest);
    await until("XFS gives the room back", async () => (await free()) > 64 * MIB);
    await store.clone("img-odd", "disk-late", signal);
  });

  it("counts the disk below a sparse pool file, and not below an allocated one", async () => {
    const outer = await pools.make("outer", "xfs", 1100 * MIB);
    const make = async (name: string, sparse: boolean) => {
      const directory = pools.plain(name);
      await makePool({ directory, file: join(outer, `${name}.pool`), sizeBytes: 400 * MIB, sparse });
      return openFileStore({ directory, importDirectories: [] });
    };
    const [sparse, allocated] = [await make("sparse", true), await make("allocated", false)];
    const ownFree = (await allocated.usage(signal)).freeBytes;
    expect((await sparse.usage(signal)).freeBytes).toBeGreaterThan(ownFree * 0.9);
    const { bavail, bsize } = statfsSync(outer);
    execFileSync("fallocate", ["-l", String(bavail * bsize - 100 * MIB), join(outer, "filler")]);
    expect((await sparse.usage(signal)).freeBytes).toBeLessThan(110 * MIB);
    expect((await allocated.usage(signal)).freeBytes).toBeGreaterThan(ownFree * 0.9);
    await unmountPool(join(pools.directory, "sparse"));
    await unmountPool(join(pools.directory, "allocated"));
  });
});

describe("opening", () => {
  it("removes what a crashed process left unfinished, and nothing else", async () => {
    const directory = await pools.make("crashed", "btrfs");
    await openFileStore({ directory, importDirectories: [] });
    const names = ["unfinished-0123456789abcdef", "somebody-elses-file"];
    for (const name of names) writeFileSync(join(directory, "tmp", name), "x");
    await openFileStore({ directory, importDirectories: [] });
    expect(readdirSync(join(directory, "tmp"))).toEqual(["somebody-elses-file"]);
  });

  it("refuses a directory without reflinks, with the remedy, and leaves it as it was", async () => {
    const directory = mkdtempSync("/dev/shm/ingot-no-reflinks-");
    try {
      const attempt = openFileStore({ directory, importDirectories: [] });
      await expect(attempt).rejects.toMatchObject({
        code: "UNSUPPORTED",
        details: { field: "pool.directory", filesystem: "tmpfs", remedy: expect.stringContaining("XFS") },
      });
      expect(readdirSync(directory)).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("refuses a directory that is not there", async () => {
    const attempt = openFileStore({ directory: join(tmpdir(), "ingot-no-such-pool"), importDirectories: [] });
    await expect(attempt).rejects.toMatchObject({ code: "DRIVER_FAILED", details: { field: "pool.directory" } });
  });
});

describe("make-pool.ts", () => {
  const program = join(import.meta.dirname, "../../src/storaged/make-pool.ts");
  const run = (...words: string[]) =>
    execFileSync(process.execPath, [program, ...words], { encoding: "utf8", stdio: "pipe" });

  it("makes and mounts, does nothing when that is done, unmounts, and mounts what is there", async () => {
    const directory = pools.plain("by-command");
    const file = join(pools.directory, "by-command.pool");
    writeFileSync(`${file}.unfinished`, "left by a crash");
    const make = () => run("--directory", directory, "--file", file, "--size", "320M");
    expect(make()).toContain("made and mounted");
    expect(statSync(file).blocks * 512).toBeGreaterThanOrEqual(320 * MIB);
    expect(existsSync(`${file}.unfinished`)).toBe(false);
    await openFileStore({ directory, importDirectories: [] });
    expect(make()).toContain("is mounted already");
    run("--directory", directory, "--unmount");
    run("--directory", directory, "--unmount");
    expect(readdirSync(directory)).toEqual([]);
    expect(make()).toContain(": mounted");
    expect(readdirSync(directory)).toEqual(["disks", "images", "records", "tmp"]);
    run("--directory", directory, "--unmount");
  });

  it("says what is wrong with its arguments", () => {
    expect(() => run("--directory", "/x", "--file", "/y", "--size", "many")).toThrow(/write it like 200G/);
    expect(() => run("--directory", pools.plain("too-small"), "--file", "/tmp/none.pool", "--size", "10M")).toThrow(
      /at least/,
    );
    expect(() => run()).toThrow(/usage/);
  });
});
