import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { zstdDecompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import type { ImageStore, ReadRequest } from "../../src/drivers/images/image-store.ts";
import { ApplianceError } from "../../src/errors.ts";
import { type RunningApi, startApi } from "../../src/http/api/start-api.ts";
import { parseMac } from "../../src/values/mac.ts";
import { MemoryImageStore } from "../fakes/memory-image-store.ts";
import { ApiWorld, PATIENT } from "../unit/http-api/api-world.ts";

/** The command line as people run it: its own process, against the API on a unix socket. */

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
const MAC = "52:54:00:aa:bb:01";
const ADD = ["node", "add", "node-1", "--mac", MAC, "--network", "prov", "--firmware", "uefi"];
const BMC = ["--bmc", "ipmi://admin@10.9.0.1", "--bmc-password-file", "/etc/ingot/bmc"];
const IMPORT = ["image", "import", "golden", "--file", "/import/golden.raw", "--format", "raw", "--phones-home"];

type Run = { code: number | null; out: string; err: string };

let world: ApiWorld;
let api: RunningApi;
const children = new Set<ChildProcess>();

function begin(args: string[], environment: NodeJS.ProcessEnv = {}): { child: ChildProcess; ended: Promise<Run> } {
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH, INGOT_SOCKET: join(world.directory, "api.sock"), ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  const run: Run = { code: null, out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    run.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    run.err += text;
  });
  const ended = new Promise<Run>((done) => {
    child.on("close", (code) => {
      children.delete(child);
      done({ ...run, code });
    });
  });
  return { child, ended };
}

const ingot = (...args: string[]) => begin(args).ended;
async function succeed(...args: string[]): Promise<string> {
  const { code, out, err } = await ingot(...args);
  expect(code, `ingot ${args.join(" ")}: ${err}`).toBe(0);
  return out;
}
const json = async (...args: string[]) => JSON.parse(await succeed(...args, "--json"));

beforeEach(async () => {
  world = await ApiWorld.start();
  api = await startApi(world.parts);
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await api.stop();
  await world.end();
});

describe("the pool", () => {
  const GIB = 1024 ** 3;

  it("shows how full it is and the largest things in 80 columns, and grows to or by a size", async () => {
    await succeed(...ADD);
    await succeed(...IMPORT);
    await succeed("provision", "node-1", "--image", "golden", "--disk-name", "root-of-a-node-with-a-very-long-name");
    const { space } = world.world;
    Object.assign(space, { fileBytes: 100 * GIB, filesystemBytes: 100 * GIB, usedBytes: 93 * GIB });
    const { id } = world.appliance.disks.get("default", "root-of-a-node-with-a-very-long-name");
    space.things = [{ kind: "disk", id, sizeBytes: 80 * GIB, usedBytes: 61 * GIB }];
    const shown = await succeed("pool", "show");
    expect(shown).toMatch(/^level: +closed: no new clones, imports and snapshots$/m);
    expect(shown).toMatch(/^used: +93 % of 100 GiB; 7\.0 GiB free, /m);
    expect(shown).toMatch(/^root-of-a-node-with-a-very-long-name +disk +node-1 +80 GiB +61 GiB$/m);
    for (const line of shown.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    expect(await json("pool", "show")).toMatchObject({
      level: "closed",
      usedPercent: 93,
      largest: [{ node: "node-1" }],
    });
    expect(await succeed("status")).toMatch(/^pool: .*93 % used, closed: see ingot pool show$/m);
    const refused = await ingot("disk", "snapshot", "root-of-a-node-with-a-very-long-name", "--as", "snap");
    expect(refused.code).not.toBe(0);
    expect(refused.err).toMatch(/pool: 93 % full.*\nremedy: release a node .* with 61\.0 GiB/);

    expect(await succeed("pool", "grow", "+50G")).toMatch(/^grow pool to 150\.0 GiB: done in/);
    expect(await succeed("pool", "grow", "200G")).toMatch(/^grow pool to 200\.0 GiB: done in/);
    expect(await json("pool", "show")).toMatchObject({ level: "ok", file: { sizeBytes: 200 * GIB } });
    expect((await ingot("pool", "grow", "100G")).err).toMatch(
      /200\.0 GiB already\nremedy: pools grow and never shrink/,
    );
    expect((await ingot("pool", "grow", "lots")).err).toMatch(/"lots" is not a size\nremedy: write it like 200G/);
    await succeed("disk", "snapshot", "root-of-a-node-with-a-very-long-name", "--as", "snap");
  });
});

describe("the main job", () => {
  it("goes from an empty appliance to a node that boots, and back", async () => {
    expect(await succeed("node", "list")).toMatch(/^no nodes yet; ingot node add/);
    expect(await succeed(...ADD, ...BMC, "--data-mac", "52:54:00:aa:bb:02", "52:54:00:aa:bb:03")).toContain(
      "ingot provision node-1",
    );
    expect(await succeed(...IMPORT)).toMatch(/^import image golden: done in \d\.\d s\n$/);
    expect(await succeed("image", "list")).toMatch(
      /^IMAGE +SIZE +ORIGIN.*\ngolden +1\.0 MiB +\/import\/golden\.raw +yes/,
    );
    expect(await succeed("provision", "node-1", "--image", "golden", "--disk-name", "root")).toMatch(/done in/);
    expect(await succeed("node", "list")).toMatch(
      /^NODE +MAC +NETWORK +FIRMWARE +ADDRESS +DISK\nnode-1 +52:54:00:aa:bb:01 +prov +uefi +10\.20\.0\.1\d\d +root\n$/,
    );
    const shown = await succeed("node", "show", "node-1");
    expect(shown).toMatch(/^power: +ipmi:\/\/admin@10\.9\.0\.1:623, password in \/etc\/ingot\/bmc$/m);
    expect(shown).toMatch(/^NIC 3: +52:54:00:aa:bb:03 data$/m);
    expect(shown).toMatch(/^boots: +disk root at /m);
    expect(await succeed("node", "power", "node-1")).toBe("on\n");
    expect(await succeed("node", "timeline", "node-1")).toMatch(/: OS ready after .*\n {2}power on .*▏\n/);
    expect(await succeed("disk", "list")).toMatch(/\nroot +node-1 +golden +1\.0 MiB +in use/);
    expect(await succeed("disk", "snapshot", "root", "--as", "with-docker")).toMatch(/done in/);
    expect(await succeed("image", "show", "with-docker")).toMatch(/^origin: +snapshot of root, in use$/m);
    expect(await succeed("lease", "list")).toMatch(
      /\n10\.20\.0\.1\d\d +52:54:00:aa:bb:01 +node-1 +prov +pinned +never\n/,
    );
    expect(await succeed("deprovision", "node-1")).toMatch(/done in/);
    expect(await succeed("disk", "revert", "root", "--image", "with-docker")).toMatch(/done in/);
    expect(await succeed("provision", "node-1", "--disk", "root")).toMatch(/done in/);
    expect(await succeed("deprovision", "node-1", "--delete-disk", "--now")).toMatch(/done in/);
    expect(await json("disk", "list")).toEqual([]);
    const operations = await json("operation", "list");
    expect(operations.map((one: { state: string }) => one.state)).toEqual(Array(7).fill("done"));
    expect(await succeed("operation", "show", operations[0].id)).toMatch(/^STEP +STATE +TOOK.*\npower-off +succeeded/m);
    expect(await succeed("node", "rm", "node-1")).toBe("node node-1 is forgotten\n");
    expect(await succeed("image", "rm", "with-docker")).toMatch(/done in/);
  });

  it("give a node a further disk, show it, and take it back", async () => {
    await succeed(...ADD, ...BMC);
    await succeed(...IMPORT);
    await succeed("provision", "node-1", "--image", "golden", "--disk-name", "results");
    await succeed("deprovision", "node-1");
    await succeed("provision", "node-1", "--image", "golden", "--disk-name", "root", "--data", "results");
    expect(await succeed("node", "show", "node-1")).toMatch(/^data disks: +results at LUN 2$/m);
    expect(await succeed("disk", "list")).toMatch(/\nresults +node-1 +golden +1\.0 MiB +LUN 2 /);

    const refused = await ingot("disk", "detach", "results");
    expect(refused).toMatchObject({ code: 4, err: expect.stringMatching(/node-1 is on[\s\S]*--unmounted/) });
    expect(await succeed("disk", "detach", "results", "--unmounted")).toMatch(/^detach disk results from node-1: done/);
    const attached = await succeed("disk", "attach", "results", "node-1", "--read-only", "--lun", "9");
    expect(attached).toMatch(/^attach disk results to node-1 as LUN 9, read-only: done in/);
    expect(await json("disk", "show", "results")).toMatchObject({ node: "node-1", lun: 9, readOnly: true });
    expect(await succeed("disk", "list")).toMatch(/\nresults +node-1 +golden +1\.0 MiB +LUN 9 ro /);
    expect(await succeed("node", "show", "node-1")).toMatch(/^data disks: +results at LUN 9 \(read-only\)$/m);

    await succeed("deprovision", "node-1");
    expect(await ingot("disk", "attach", "results", "node-1", "--lun", "nine")).toMatchObject({ code: 2 });
    expect(await ingot("disk", "attach", "results", "node-1")).toMatchObject({
      code: 4,
      err: expect.stringContaining("ingot provision node-1 --image IMAGE --data results"),
    });
  });

  it("shows each step on a line where nobody watches, and nothing but the answer with --json", async () => {
    await succeed(...ADD);
    await succeed(...IMPORT);
    const plain = await ingot("provision", "node-1", "--image", "golden");
    const steps = ["power-off", "clone-disk", "pin-address", "export-target", "write-boot-entry", "boot-device"];
    expect(plain.err.split("\n").slice(0, 6)).toEqual(steps.map((name, index) => `step ${index + 1}/9 ${name}`));
    expect(plain.err + plain.out).not.toContain("\x1b");
    await succeed("deprovision", "node-1");
    const run = await ingot("--json", "provision", "node-1", "--image", "golden");
    expect(run.err).toBe("");
    expect(JSON.parse(run.out)).toMatchObject({
      kind: "provision",
      state: "done",
      requestedBy: `uid:${process.getuid?.()}`,
    });
  });

  it("leaves an operation alone with --no-wait", async () => {
    const begun = await json(...IMPORT, "--no-wait");
    expect(begun.state).toBe("running");
    expect((await world.appliance.runner.settled(begun.id)).state).toBe("done");
  });
});

describe("answers", () => {
  it("are the API's own with --json, before or after the command", async () => {
    await succeed(...ADD);
    const [node] = await json("node", "list");
    expect(node).toMatchObject({ name: "node-1", power: { driver: "manual" }, nics: [{ mac: MAC, role: "boot" }] });
    expect(JSON.parse(await succeed("--json", "node", "show", "node-1"))).toEqual(node);
  });

  it("fit 80 columns, or those that COLUMNS names", async () => {
    const name = `image-${"x".repeat(50)}`;
    const file = `/import/${"y".repeat(60)}.raw`;
    await succeed("image", "import", name, "--file", file, "--format", "raw");
    const widest = (text: string) => Math.max(...text.split("\n").map((line) => line.length));
    for (const list of [
      ["image", "list"],
      ["operation", "list"],
    ]) {
      const out = await succeed(...list);
      expect(widest(out)).toBe(80);
      expect(out).toContain("…");
    }
    const wide = await begin(["image", "list"], { COLUMNS: "200" }).ended;
    expect(wide.out).toContain(name);
    expect(wide.out).toContain(file);
  });

  it("never let a machine on the network steer the terminal", async () => {
    world.discovered.sink({
      mac: parseMac("52:54:00:00:00:99"),
      stage: "dhcp-firmware",
      at: Date.now(),
      client: { vendorClass: "\x1b]0;owned\x07\x9b2J" } as never,
    });
    for (const run of [await ingot("discovered"), await ingot("discovered", "--json")]) {
      expect(run.out).toContain("owned");
      expect(run.out).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    }
  });

  it("tell the state of the whole appliance", async () => {
    await succeed(...ADD);
    const status = await succeed("status");
    expect(status).toMatch(/^ingot: +0\.0\.0-test, up /);
    expect(status).toMatch(/^network prov: +10\.20\.0\.0\/24 on prov0 as 10\.20\.0\.1, 0 leases$/m);
    expect(status).toMatch(/^nodes: +1, 0 provisioned; 0 discovered$/m);
    expect(status).toMatch(/^pool: +50 MiB of 100 MiB free/m);
    expect(status).not.toMatch(/^schedules:/m);
  });

  it("tell how a disk is limited, and end a limit", async () => {
    await succeed("disk", "create", "web", "--size", "1G");
    expect(await succeed("disk", "show", "web")).not.toMatch(/^limits:/m);
    const both = ["--iops", "2000", "--bytes-per-second", "100M"];
    expect(await succeed("disk", "limit", "web", ...both)).toMatch(/^limit disk web: done in/);
    expect(await succeed("disk", "show", "web")).toMatch(/^limits: +2000 IOPS, 100 MiB\/s at most$/m);
    await succeed("disk", "limit", "web", "--iops", "none");
    expect(await json("disk", "show", "web")).toMatchObject({ limits: { bytesPerSecond: 100 * 1024 ** 2 } });
    expect((await ingot("disk", "limit", "web")).err).toMatch(/neither is given\nremedy: give one of them/);
    expect((await ingot("disk", "limit", "web", "--iops", "fast")).err).toMatch(/"fast" is no number\nremedy: /);
    expect((await ingot("disk", "limit", "web", "--iops", "5")).err).toMatch(/iops: use 10 to 10000000/);
  });

  it("tell in the state of the appliance what schedules failed, and count deleted disks apart", async () => {
    for (const name of ["web", "old"]) await succeed("disk", "create", name, "--size", "1M");
    await succeed("disk", "rm", "old", "--yes");
    await succeed("disk", "schedule", "web", "--every", "1h");
    const state = () => succeed("status");
    expect(await state()).toMatch(/^disks: +1; 1 deleted$/m);
    expect(await state()).toMatch(/^schedules: +1 disk, all in time$/m);
    const { disks, records } = world.appliance;
    const { schedule, ...web } = disks.get("default", "web");
    const failure = { at: 0, message: "pool: no space left" };
    const value = { ...web, schedule: { ...schedule!, failure } };
    await records.commit([{ collection: "disks", key: web.id, value }]);
    expect(await state()).toMatch(/^schedules: +1 disk, 1 of them not snapshotted: see ingot doctor$/m);
    expect(JSON.parse(await succeed("status", "--json"))).toMatchObject({
      counts: { disks: 1, deleted: 1 },
      schedules: { disks: 1, failures: [{ disk: "web", project: "default", message: failure.message }] },
    });
  });
});

describe("images", () => {
  it("are renamed, described, labelled, retired and copied", async () => {
    await succeed(...IMPORT);
    expect(await succeed("image", "rename", "golden", "debian")).toBe("image golden is called debian now\n");
    await succeed("image", "describe", "debian", "Debian 12");
    await succeed("image", "label", "debian", "os=debian", "beta=yes");
    await succeed("image", "label", "debian", "beta-", "release=12");
    await succeed("image", "copy", "debian", "other");
    await succeed("image", "retire", "debian");
    const shown = await succeed("image", "show", "debian");
    expect(shown).toMatch(/^description: +Debian 12$/m);
    expect(shown).toMatch(/^labels: +os=debian, release=12$/m);
    expect(shown).toMatch(/^retired: +yes: nothing new is made of it$/m);
    expect(await succeed("image", "list")).toMatch(/^other +1\.0 MiB +copy of debian +yes +own +\S.*$/m);
    expect((await ingot("image", "label", "debian", "nonsense")).err).toMatch(
      /"nonsense" is no label\nremedy: write KEY=/,
    );
    await succeed("image", "retire", "debian", "--undo");
  });

  it("go to files and to Ceph, and come from there", async () => {
    await succeed(...IMPORT);
    const { manifests, volumes } = world.world.exchange;
    expect(
      await succeed("image", "export", "golden", "--to", "/out", "--format", "qcow2", "--compression", "zst"),
    ).toMatch(/^export image golden to \/out\/golden\.qcow2\.zst: done in/);
    await succeed("image", "import-increment", "later", "/in/later", "--onto", "golden");
    await succeed("image", "export", "later", "--to", "/out", "--since", "golden");
    expect([...manifests.keys()]).toEqual(["/out/golden.qcow2.zst", "/out/later.since-golden.rbd-diff"]);
    expect(manifests.get("/out/golden.qcow2.zst")).toMatchObject({
      name: "golden",
      format: "qcow2",
      compression: "zst",
    });
    const again = await ingot("image", "export", "golden", "--to", "/out", "--format", "qcow2", "--compression", "zst");
    expect([again.code, again.err]).toEqual([4, expect.stringContaining("is there already")]);
    await succeed("image", "export", "golden", "--rbd", "vms/golden");
    expect(volumes.get("vms/golden")?.content).toBe("content of /import/golden.raw");
    await succeed("image", "import-rbd", "web", "vms/web", "--phones-home");
    const list = await succeed("image", "list");
    expect(list).toMatch(/^web +1\.0 MiB +rbd vms\/web +yes +own +\S.*$/m);
    expect(list).toMatch(/^later +1\.0 MiB +\/in\/later +yes/m);
    expect(await succeed("image", "tree")).toMatch(/^golden .*\n└─ later /m);
    expect((await ingot("image", "export", "golden")).err).toMatch(/needs a place\nremedy: give --to/);
    expect((await ingot("image", "import-rbd", "none", "vms/none")).code).toBe(3);
  });

  it("are shared between projects, and what uses them is named", async () => {
    await succeed(...IMPORT);
    await succeed("project", "add", "lab", "--description", "Machines of the lab");
    expect(await succeed("project", "list")).toMatch(/^lab +Machines of the lab +\S.*$/m);
    await succeed("--project", "lab", ...ADD);
    expect((await ingot("provision", "node-1", "--image", "golden")).code).toBe(3);
    expect((await ingot("image", "share", "golden")).err).toMatch(/remedy: name projects with --with/);
    await succeed("image", "share", "golden", "--with", "lab");
    const { out } = await begin(["image", "list"], { INGOT_PROJECT: "lab" }).ended;
    expect(out).toMatch(/^default\/golden +1\.0 MiB .* shared +\S.*$/m);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    expect(await succeed("image", "list")).toMatch(/^golden .* own \+ 1 +/m);
    await succeed("provision", "node-1", "--image", "golden", "--disk-name", "root");
    const refused = await ingot("image", "rm", "golden");
    expect(refused.code).toBe(4);
    expect(refused.err).toMatch(/used by 1 of other projects\n {2}disk lab\/root\nremedy: /);
    expect(await succeed("image", "unshare", "golden", "--with", "lab")).toContain("no longer shared with lab");
    expect(await succeed("image", "transfer", "golden", "--to", "lab")).toBe("image golden belongs to lab now\n");
    expect((await ingot("project", "rm", "lab")).err).toMatch(
      /owns node node-1, image golden, disk root\n {2}node node-1/,
    );
    expect((await ingot("--project", "nowhere", "image", "list")).err).toMatch(/there is no project "nowhere"/);
  });
});

describe("a download", () => {
  const SIZE = 1024 * 1024;
  let target: string;
  let asked: ReadRequest[];

  beforeEach(async () => {
    await succeed(...IMPORT);
    target = join(world.directory, "golden.raw");
    asked = [];
    const { images } = world.world;
    const content = Buffer.alloc(SIZE, images.bytes("image", world.appliance.images.get("default", "golden").id));
    content.fill(0, 200_000, 600_000);
    Object.assign(images, { bytes: () => content });
    // what the appliance tells of it is checked
    const record = world.appliance.images.get("default", "golden");
    const sha256 = createHash("sha256").update(content).digest("hex");
    await world.appliance.records.commit([{ collection: "images", key: record.id, value: { ...record, sha256 } }]);
  });

  /** Breaks each stream off after so many bytes. */
  function breakOff(afterBytes: number, end: (stream: Readable) => void): void {
    const { images } = world.world;
    const whole = MemoryImageStore.prototype.read.bind(images);
    const read: ImageStore["read"] = async (request) => {
      asked.push(request);
      const content = await buffer(await whole(request));
      let sent = 0;
      return new Readable({
        read() {
          const piece = content.subarray(sent, Math.min(sent + 64 * 1024, content.length));
          sent += piece.length;
          if (piece.length === 0) this.push(null);
          else if (sent > afterBytes) end(this);
          else this.push(piece);
        },
      });
    };
    Object.assign(images, { read });
  }

  it("is whole and sparse, and compared", async () => {
    const said = await succeed("image", "download", "golden", target);
    const content = world.world.images.bytes("image", "");
    expect((await readFile(target)).equals(content)).toBe(true);
    expect(said).toContain(createHash("sha256").update(content).digest("hex"));
    expect((await stat(target)).blocks * 512).toBeLessThan(SIZE - 200_000);
    expect((await ingot("image", "download", "golden", target)).err).toMatch(/is there already\nremedy: name another/);
    await succeed("image", "download", "golden", `${target}.zst`, "--compression", "zst");
    expect(zstdDecompressSync(await readFile(`${target}.zst`)).equals(content)).toBe(true);
    expect((await readdir(world.directory)).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("goes on by itself where the connection broke off", async () => {
    breakOff(300_000, (stream) => stream.destroy(new Error("the disk is gone")));
    await succeed("image", "download", "golden", target);
    expect((await readFile(target)).equals(world.world.images.bytes("image", ""))).toBe(true);
    expect(asked.length).toBeGreaterThan(2);
    expect(asked.map(({ range }) => range?.first ?? 0)).toEqual(
      [...asked.map(({ range }) => range?.first ?? 0)].sort((a, b) => a - b),
    );
    expect(asked.at(-1)?.range?.first).toBeGreaterThan(500_000);
  });

  it("goes on where an earlier one was killed, and not with another image's content", async () => {
    const stalled = Promise.withResolvers<void>();
    breakOff(150_000, () => stalled.resolve());
    const { child, ended } = begin(["image", "download", "golden", target]);
    await stalled.promise;
    const part = join(
      world.directory,
      `golden.raw.${world.appliance.images.get("default", "golden").id}.raw.none.part`,
    );
    await expect.poll(async () => (await stat(part)).size, PATIENT).toBeGreaterThan(60_000);
    child.kill("SIGKILL");
    await ended;
    breakOff(SIZE, () => {});
    await succeed("image", "download", "golden", target);
    expect(asked.at(-1)?.range?.first).toBeGreaterThan(60_000);
    expect((await readFile(target)).equals(world.world.images.bytes("image", ""))).toBe(true);
  });

  it("as qcow2 goes on where it broke off, and begins anew where the image is laid out anew meanwhile", async () => {
    const { images } = world.world;
    const { id } = world.appliance.images.get("default", "golden");
    const whole = MemoryImageStore.prototype.read.bind(images);
    const asQcow2 = async () => {
      const { sizeBytes, digest } = await images.layout(id);
      return buffer(await whole({ image: id, range: { first: 0, last: sizeBytes - 1 }, layout: digest }));
    };
    const download = (name: string) =>
      succeed("image", "download", "golden", join(world.directory, name), "--format", "qcow2");
    breakOff(300_000, (stream) => stream.destroy(new Error("the disk is gone")));
    await download("same.qcow2");
    expect((await readFile(join(world.directory, "same.qcow2"))).equals(await asQcow2())).toBe(true);
    expect(asked.length).toBeGreaterThan(2);
    expect(asked.slice(1).every(({ range }) => (range?.first ?? 0) > 0)).toBe(true);

    asked = [];
    breakOff(300_000, (stream) => {
      const content = Buffer.from(images.bytes("image", id));
      content.fill("no hole ", 200_000, 400_000);
      Object.assign(images, { bytes: () => content });
      stream.destroy(new Error("the disk is gone"));
    });
    await download("other.qcow2");
    expect((await readFile(join(world.directory, "other.qcow2"))).equals(await asQcow2())).toBe(true);
    expect(asked[1]?.range?.first).toBe(0);
    expect(asked[1]?.layout).not.toBe(asked[0]?.layout);
    const packed = await ingot("image", "download", "golden", target, "--format", "qcow2", "--compression", "zst");
    expect([packed.code, packed.err]).toEqual([
      2,
      expect.stringMatching(/not packed on its way[\s\S]*remedy: .*export/),
    ]);
  });

  it("of what came out otherwise than the appliance tells is refused", async () => {
    const { images } = world.world;
    Object.assign(images, { bytes: () => Buffer.alloc(SIZE, "other") });
    expect((await ingot("image", "download", "golden", target)).err).toMatch(
      /its checksum is .*\nremedy: remove that file/,
    );
    await expect(stat(target)).rejects.toThrow("ENOENT");
  });
});

describe("errors", () => {
  it.each<[string, number, string[], RegExp]>([
    ["an unknown command", 2, ["nod", "list"], /Did you mean node/],
    ["a missing option", 2, ["node", "add", "x"], /--mac/],
    ["a wrong choice", 2, [...ADD.slice(0, -1), "efi"], /Allowed choices are bios, uefi/],
    ["a bad value", 2, [...ADD.slice(0, 4), "zz", ...ADD.slice(5)], /nics\[0\]\.mac.*"zz"[\s\S]*remedy: write it like/],
    ["nothing to boot", 2, ["provision", "node-1"], /remedy: give --image/],
    ["two things to boot", 2, ["provision", "node-1", "--image", "a", "--disk", "b"], /cannot be used with/],
    ["no such thing", 3, ["node", "show", "nobody"], /there is no node "nobody"\nremedy: ingot node list/],
    ["a wrong state", 4, ["node", "confirm", "node-0"], /nobody waits[\s\S]*remedy:/],
    ["a URL without a token", 9, ["--url", "http://127.0.0.1:25011", "status"], /remedy: .*--token-file/],
    ["no URL", 2, ["--url", "localhost:1", "status"], /remedy: write it like http/],
    [
      "nobody there",
      5,
      ["--socket", "/nonexistent/api.sock", "status"],
      /\/nonexistent\/api\.sock.*\nremedy: is ingotd running/,
    ],
  ])("for %s exit with %i and a remedy", async (_, code, args, text) => {
    await succeed("node", "add", "node-0", "--mac", "52:54:00:aa:bb:77", "--network", "prov", "--firmware", "bios");
    const run = await ingot(...args);
    expect(run.err).toMatch(text);
    expect(run).toMatchObject({ code, out: "" });
  });

  it("of an operation that was undone are its own", async () => {
    const full: ImageStore["import"] = async () => {
      throw new ApplianceError("POOL_FULL", "the pool is full", { details: { remedy: "remove something" } });
    };
    Object.assign(world.world.images, { import: full });
    const run = await ingot(...IMPORT);
    expect(run.code).toBe(7);
    expect(run.err).toMatch(/failed and was undone: the pool is full\nremedy: remove something\n$/);
  });

  it("of an operation that is stuck name it, and retry goes on", async () => {
    await succeed(...IMPORT);
    const { images } = world.world;
    const { remove } = images;
    let broken = true;
    images.remove = async (kind, id) => {
      if (broken) throw new ApplianceError("DRIVER_FAILED", "the disk shelf is off", { retryable: false });
      return remove.call(images, kind, id);
    };
    const run = await ingot("image", "rm", "golden");
    expect(run.code).toBe(12);
    const id = /remedy: .*ingot operation retry (op-\w+)\n$/.exec(run.err)?.[1] ?? "";
    expect(run.err).toContain("is stuck: the disk shelf is off");
    expect((await ingot("doctor")).out).toContain(`ingot operation retry ${id}`);
    broken = false;
    expect(await succeed("operation", "retry", id)).toMatch(/remove image golden: done in/);
  });
});

/** Lets an import run until the test says that it may end. */
function holdImports(): () => void {
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const whole = world.world.images.import.bind(world.world.images);
  const slow: ImageStore["import"] = async (request, progress) => {
    progress(512 * 1024, 1024 * 1024);
    await held;
    return whole(request, progress);
  };
  Object.assign(world.world.images, { import: slow });
  return release;
}

describe("waiting", () => {
  it("ends with Ctrl-C, and the operation goes on", async () => {
    const release = holdImports();
    const { child, ended } = begin(IMPORT);
    const line = await new Promise((told) => child.stderr?.once("data", told));
    expect(line).toBe("step 1/1 import-content\n");
    child.kill("SIGINT");
    const run = await ended;
    expect(run.code).toBe(130);
    const id = /goes on without you\nremedy: look again: ingot operation show (op-\w+)\n$/.exec(run.err)?.[1] ?? "";
    expect(await succeed("operation", "show", id)).toMatch(
      /^progress: +step 1\/1 import-content █+░+ 512 KiB of 1\.0 MiB$/m,
    );
    release();
    expect((await world.appliance.runner.settled(id)).state).toBe("done");
  });

  it("outlives a restart of the API", async () => {
    const release = holdImports();
    const { child, ended } = begin(IMPORT);
    await new Promise((told) => child.stderr?.once("data", told));
    await api.stop();
    api = await startApi(world.parts);
    release();
    expect(await ended).toMatchObject({ code: 0, out: expect.stringMatching(/done in/) });
  });

  it("says what an operator shall do by hand", async () => {
    await succeed(...ADD);
    const { operatorRequests, nodes, powerOf } = world.appliance;
    const { id } = nodes.get("node-1");
    await powerOf(nodes.get(id)).status(AbortSignal.timeout(1000));
    const hands = () => operatorRequests.ask({ node: "node-1", action: "switch-on" }, AbortSignal.timeout(20_000));
    Object.assign(world.world.power.get(id) ?? {}, { on: hands });
    const { child, ended } = begin(["node", "power", "node-1", "on"]);
    const asked = new Promise<void>((told) => {
      let text = "";
      child.stderr?.on("data", (more) => {
        text += more;
        if (text.includes("node-1: switch-on, by hand; when you saw it done: ingot node confirm node-1")) told();
      });
    });
    await asked;
    expect((await ingot("doctor")).out).toMatch(/warning .*node-1: an operation waits for switch-on by hand/);
    expect(await succeed("node", "confirm", "node-1")).toBe("node-1: switch-on is done\n");
    expect(await ended).toMatchObject({ code: 0 });
  });
});

describe("on a terminal", () => {
  /** Runs a command line on a terminal of its own, of util-linux's script(1), and types once `prompt` is there. */
  function onTerminal(args: string[], prompt?: string, typed?: string): Promise<Run> {
    const quoted = [process.execPath, main, ...args].map((one) => `'${one}'`).join(" ");
    const child = spawn("script", ["-qec", `stty cols 80 rows 24; exec ${quoted}`, "/dev/null"], {
      env: { PATH: process.env.PATH, TERM: "xterm", INGOT_SOCKET: join(world.directory, "api.sock") },
      stdio: ["pipe", "pipe", "inherit"],
    });
    children.add(child);
    let out = "";
    let answered = false;
    child.stdout.setEncoding("utf8").on("data", (text) => {
      out += text;
      if (answered || prompt === undefined || !out.includes(prompt)) return;
      answered = true;
      child.stdin.write(typed);
    });
    return new Promise((done) => {
      child.on("close", (code) => {
        children.delete(child);
        done({ code, out, err: "" });
      });
    });
  }

  it("draws progress in place and leaves only the answer", async () => {
    const release = holdImports();
    const run = onTerminal(IMPORT);
    const answered = () => world.logged.filter((line) => line.includes("request answered")).length;
    await expect.poll(answered, PATIENT).toBeGreaterThan(2);
    release();
    const { code, out } = await run;
    expect(code).toBe(0);
    expect(out).toContain("\r\x1b[Kstep 1/1 import-content ██████████░░░░░░░░░░ 512 KiB of 1.0 MiB");
    expect(out).toMatch(/\r\x1b\[Kimport image golden: done in \d\.\d s\r\n$/);
  });

  it("asks before something is lost, and takes no for an answer", async () => {
    await succeed(...IMPORT);
    const question = "Delete image golden for good?";
    const kept = await onTerminal(["image", "rm", "golden"], question, "n");
    expect(kept.out).toContain("nothing was done");
    expect(kept.code).toBe(130);
    expect(await json("image", "list")).toHaveLength(1);
    expect(await onTerminal(["image", "rm", "golden"], question, "y")).toMatchObject({ code: 0 });
    expect(await json("image", "list")).toEqual([]);
  });

  it("does not ask with --yes", async () => {
    await succeed(...IMPORT);
    const { code, out } = await onTerminal(["image", "rm", "golden", "--yes"]);
    expect(code).toBe(0);
    expect(out).not.toContain("for good?");
  });
});

describe("help", () => {
  it("of every command has examples and fits 80 columns", async () => {
    let text = "";
    const write = (more: string) => {
      text += more;
    };
    const program = createProgram({
      out: write,
      write: () => {},
      takeKeys: () => undefined,
      err: write,
      isWatched: false,
      canAsk: false,
      columns: 80,
    });
    const commands = (function all(command: typeof program): (typeof program)[] {
      return command.commands.length === 0 ? [command] : command.commands.flatMap(all);
    })(program);
    expect(commands.length).toBeGreaterThan(20);
    for (const command of commands) {
      text = "";
      command.outputHelp();
      expect(text, command.name()).toContain("Examples:\n  $ ingot ");
      const [head = ""] = text.split("Examples:");
      for (const line of head.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });
});

describe("who had what", () => {
  it("is told of a node, its address and its disk, and added up", async () => {
    await succeed(...IMPORT);
    await succeed(...ADD);
    await succeed("provision", "node-1", "--image", "golden", "--disk-name", "root");
    const shown = await succeed("who", "--node", "node-1");
    expect(shown).toMatch(/^default +\S+ +node-1 +root +10\.20\.0\.\d+ /m);
    for (const line of shown.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
    expect(await succeed("who", "--node", "node-1", "--at", "2020-01-01")).toBe("nobody had that then\n");
    expect(await json("who", "--disk", "root")).toMatchObject([{ kind: "disk", node: "node-1" }]);
    expect(await ingot("who", "--node", "node-1", "--at", "yesterday")).toMatchObject({ code: 2 });
    expect(await ingot("who")).toMatchObject({ code: 2, err: expect.stringContaining("node, address or disk") });
    await succeed("deprovision", "node-1");
    expect(await succeed("who", "--node", "node-1")).toBe("nobody had that then\n");
    expect(await succeed("usage", "--csv")).toMatch(
      /^month,project,node_hours,gib_hours\n\d{4}-\d\d,default,0\.0\d\d,/,
    );
    expect(await succeed("usage")).toMatch(/default/);
  });
});

describe("over TCP", () => {
  it("asks with a token, from a file or the environment", async () => {
    const token = "0123456789abcdef0123456789abcdef";
    const tokenFile = join(world.directory, "token");
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
    const runtimeDirectory = join(world.directory, "tcp");
    mkdirSync(runtimeDirectory);
    const { parts } = world;
    const listen = { address: "127.0.0.1" as never, port: 25_020 };
    const remote = await startApi({
      ...parts,
      config: { ...parts.config, runtimeDirectory, api: { ...world.parts.config.api, tokenFile, listen } },
    });
    try {
      const url = ["--url", "http://127.0.0.1:25020"];
      expect((await ingot(...url, "--token-file", tokenFile, ...ADD, "--json")).out).toContain('"token:admin"');
      expect(await begin([...url, "node", "list"], { INGOT_TOKEN: token }).ended).toMatchObject({ code: 0 });
      const wrong = await begin([...url, "node", "list"], { INGOT_TOKEN: "x".repeat(32) }).ended;
      expect(wrong).toMatchObject({ code: 9, err: expect.stringContaining("the token is wrong") });
    } finally {
      await remote.stop();
    }
  });

  it("lets tenants in by password, each to their own", async () => {
    await succeed("project", "add", "lab");
    await succeed("project", "add", "dev");
    await succeed(...ADD, "--project", "dev");
    const passwordFile = join(world.directory, "password");
    writeFileSync(passwordFile, "correct horse battery\n", { mode: 0o600 });
    const user = ["user", "add", "ada", "--password-file", passwordFile];
    expect(await succeed("--project", "lab", ...user, "--role", "viewer")).toContain("viewer of lab");
    expect(await succeed("--project", "dev", "user", "grant", "ada", "--role", "member")).toContain("member of dev");
    const secret = await succeed("--project", "lab", "token", "add", "ci", "--role", "member", "--expires", "1d");
    expect(await succeed("user", "list")).toMatch(/ada +viewer of lab, member of dev/);
    const { parts } = world;
    const runtimeDirectory = join(world.directory, "tcp");
    mkdirSync(runtimeDirectory);
    const listen = { address: "127.0.0.1" as never, port: 25_021 };
    const remote = await startApi({
      ...parts,
      config: { ...parts.config, runtimeDirectory, api: { ...world.parts.config.api, listen } },
    });
    try {
      const url = ["--url", "http://127.0.0.1:25021"];
      const saved = join(world.directory, "ada-token");
      const login = [...url, "login", "--user", "ada", "--save", saved, "--password-file", passwordFile];
      expect(await succeed(...login)).toContain("viewer of lab, member of dev");
      expect((await stat(saved)).mode & 0o777).toBe(0o600);
      const ada = [...url, "--token-file", saved];
      expect(await succeed(...ada, "node", "list")).toContain("node-1");
      expect(await succeed(...ada, "token", "list")).toContain("ada");
      expect(await ingot(...ada, "status")).toMatchObject({
        code: 10,
        err: expect.stringContaining("needs system:read"),
      });
      expect(await ingot(...ada, "--project", "lab", "disk", "create", "x", "--size", "1G")).toMatchObject({
        code: 10,
      });
      const ci = { INGOT_TOKEN: secret.trim() };
      const asCi = (...args: string[]) => begin([...url, ...args], ci).ended;
      expect((await asCi("whoami")).out).toBe("token:ci: member of lab (known by local)\n");
      expect((await asCi("node", "list")).out).not.toContain("node-1");
      expect(await asCi("node", "show", "node-1")).toMatchObject({ code: 3 });
      expect(await asCi("--project", "dev", "image", "list")).toMatchObject({ code: 3 });
      await succeed("token", "revoke", "ci");
      expect(await asCi("whoami")).toMatchObject({ code: 9 });
      await succeed("user", "rm", "ada", "--yes");
      expect(await ingot(...ada, "whoami")).toMatchObject({ code: 9 });
      const again = await ingot(...login);
      expect(again).toMatchObject({ code: 9, err: expect.stringContaining("user or password is wrong") });
      expect(world.logged.join("")).not.toMatch(/correct horse/);
      expect(await succeed("audit", "verify")).toMatch(/^entries 1 to \d+ are one unbroken chain/);
      const listed = await succeed("audit", "list", "--who", "token:ci", "--since", "1h");
      expect(listed).not.toContain("local");
      const all = await succeed("audit", "list");
      expect(all).toMatch(/uid:\d+ +DELETE \/users\/ada +204/);
      for (const line of all.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
      const exported = join(world.directory, "audit.jsonl");
      await succeed("audit", "export", exported);
      expect((await readFile(exported, "utf8")).split("\n").length).toBeGreaterThan(10);
      expect(await ingot("audit", "export", exported)).toMatchObject({ code: 2 });
    } finally {
      await remote.stop();
    }
  });
});
