/** Imports of every format that an image may have, packed in every way, into both stores; and files that mean harm. Real programs. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, openSync, readdirSync, readFileSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore, ImportRequest } from "../../src/drivers/images/image-store.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { COMPRESSIONS, type Compression, IMAGE_FORMATS } from "../../src/values/image-format.ts";
import { createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { LoopPools } from "./loop-pools.ts";

const MIB = 1024 ** 2;
const CLUSTER = "/var/tmp/ingot-formats-ceph";
const MAX_BYTES = 64 * MIB;
const signal = AbortSignal.timeout(500_000);
const PACK: Record<Compression, string> = {
  none: "cp $0 $1",
  gz: "gzip -c $0 > $1",
  xz: "xz -c $0 > $1",
  zst: "zstd -qc $0 > $1",
};

/** Content, holes, content; and a beginning that a prober would take for a qcow2 image with a backing file. */
const content = Buffer.alloc(8 * MIB);
content.fill("start", 512, MIB);
content.fill("end", content.length - MIB);
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

let pools: LoopPools;
let imports: string;

type Subject = {
  store: ImageStore;
  content(image: string): Promise<Buffer>;
  leftovers(): Promise<string[]>;
  close(): unknown;
};

beforeAll(() => {
  pools = new LoopPools();
  imports = pools.plain("imports");
  qemuImg("create", "-q", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", "trap.qcow2", "8M");
  readFileSync(join(imports, "trap.qcow2")).copy(content, 0, 0, 512);
  writeFileSync(join(imports, "content.raw"), content);
});
afterAll(() => pools.remove());

const qemuImg = (...words: string[]) => execFileSync("qemu-img", words, { stdio: "pipe", cwd: imports });
const shell = (script: string, ...words: string[]) =>
  execFileSync("sh", ["-ec", script, ...words], { stdio: "pipe", cwd: imports });

async function fileSubject(): Promise<Subject> {
  const directory = await pools.make("formats", "xfs", 512 * MIB);
  return {
    store: await openFileStore({ directory, importDirectories: [imports], maxImageBytes: MAX_BYTES }),
    content: async (image) => readFileSync(join(directory, "images", `${image}.raw`)),
    leftovers: async () => readdirSync(join(directory, "tmp")),
    close: () => {},
  };
}

async function rbdSubject(): Promise<Subject> {
  await destroyEverything(CLUSTER);
  const cluster = await createCephCluster(loopbackHost(CLUSTER), { port: 28_500 });
  const { conf, user, pool } = cluster;
  const access = { conf, user, pool };
  const rbd = createLibrbdPool(access);
  const spoolDirectory = pools.plain("formats-spool");
  return {
    store: openRbdStore({ pool: rbd, access, importDirectories: [imports], spoolDirectory, maxImageBytes: MAX_BYTES }),
    content: async (image) => {
      const path = join(pools.directory, "exported");
      shell('rm -f "$0"', path);
      await cluster.rbd("export", "--no-progress", `${pool}/${image}`, path);
      return readFileSync(path);
    },
    leftovers: async () => [
      ...readdirSync(spoolDirectory),
      ...(await rbd.list(signal)).filter((name) => !name.startsWith("img-")),
    ],
    close: () => {
      rbd.close();
      return destroyEverything(CLUSTER);
    },
  };
}

describe.each([
  ["file", fileSubject],
  ["rbd", rbdSubject],
])("the %s store", (_, makeSubject) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await makeSubject();
  });
  afterAll(() => subject?.close());

  const importFile = (image: string, name: string, stated: Omit<ImportRequest, "image" | "path">) =>
    subject.store.import({ image, path: join(imports, name), ...stated }, () => {}, signal);

  /** Refused with this code and words, and nothing of it is left. */
  const refused = async (
    name: string,
    stated: Omit<ImportRequest, "image" | "path">,
    message: RegExp,
    code = "INVALID",
  ) => {
    const error = await importFile("img-bad", name, stated).catch((thrown) => thrown);
    expect(error).toMatchObject({
      code,
      message: expect.stringMatching(message),
      details: { remedy: expect.any(String) },
    });
    expect(await subject.store.stat("image", "img-bad", signal)).toBeUndefined();
    expect(await subject.leftovers()).toEqual([]);
  };

  it.each(IMAGE_FORMATS.flatMap((format) => COMPRESSIONS.map((compression) => [format, compression] as const)))(
    "takes %s, compression %s",
    async (format, compression) => {
      const [plain, name] = [`c.${format}`, `c.${format}.${compression}`];
      qemuImg("convert", "-f", "raw", "-O", format, "content.raw", plain);
      shell(PACK[compression], plain, name);
      const image = `img-${format}-${compression}`;
      const steps: [number, number][] = [];
      const request = {
        image,
        path: join(imports, name),
        format,
        compression,
        sha256: sha256(readFileSync(join(imports, name))),
      };
      const result = await subject.store.import(request, (done, total) => steps.push([done, total]), signal);
      expect(result).toEqual({ sizeBytes: content.length, sha256: sha256(content), paddedBytes: 0 });
      expect((await subject.content(image)).equals(content)).toBe(true);
      expect((await subject.store.stat("image", image, signal))!.usedBytes).toBeLessThanOrEqual(8 * MIB);
      expect(await subject.leftovers()).toEqual([]);
      expect(steps.at(-1)![0]).toBe(steps.at(-1)![1]);
      expect(
        steps.every(([done, total], at) => at === 0 || done / total >= steps[at - 1]![0] / steps[at - 1]![1]),
      ).toBe(true);
    },
  );

  it("takes a vmdk that was made to be streamed, and one for its owner's eyes alone", async () => {
    qemuImg("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "content.raw", "stream.vmdk");
    chmodSync(join(imports, "stream.vmdk"), 0o600);
    expect(await importFile("img-stream", "stream.vmdk", { format: "vmdk" })).toMatchObject({
      sha256: sha256(content),
    });
  });

  it("pads what comes out of an archive to whole sectors", async () => {
    writeFileSync(join(imports, "odd.raw"), Buffer.alloc(1000, "odd"));
    shell(PACK.zst, "odd.raw", "odd.raw.zst");
    const padded = Buffer.concat([Buffer.alloc(1000, "odd"), Buffer.alloc(24)]);
    const result = await importFile("img-odd", "odd.raw.zst", { format: "raw", compression: "zst" });
    expect(result).toEqual({ sizeBytes: 1024, sha256: sha256(padded), paddedBytes: 24 });
    expect((await subject.content("img-odd")).equals(padded)).toBe(true);
  });

  it("refuses images that name other files", async () => {
    await refused("trap.qcow2", { format: "qcow2" }, /backing file/);
    shell(PACK.zst, "trap.qcow2", "trap.qcow2.zst");
    await refused("trap.qcow2.zst", { format: "qcow2", compression: "zst" }, /backing file/);
    qemuImg("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "flat.vmdk", "1M");
    await refused("flat.vmdk", { format: "vmdk" }, /only names other files/);
    qemuImg("create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "split.vmdk", "1M");
    await refused("split.vmdk", { format: "vmdk" }, /only names other files/);
    qemuImg("create", "-q", "-f", "vmdk", "one.vmdk", "8M");
    const patched = (find: string, put: string) => {
      const bytes = readFileSync(join(imports, "one.vmdk"));
      bytes.write(put.padEnd(find.length), bytes.indexOf(find), "latin1");
      writeFileSync(join(imports, "patched.vmdk"), bytes);
    };
    patched('RW 16384 SPARSE "one.vmdk"\n', 'RW 16 FLAT "/etc/shadow" 0\n');
    await refused("patched.vmdk", { format: "vmdk" }, /extents in other files/);
    patched('ddb.geometry.cylinders = "16"', 'parentFileNameHint="/etc/sh"');
    await refused("patched.vmdk", { format: "vmdk" }, /difference to another/);
    const headless = readFileSync(join(imports, "one.vmdk"));
    headless.writeBigUInt64LE(0n, 12);
    writeFileSync(join(imports, "headless.vmdk"), headless);
    await refused("headless.vmdk", { format: "vmdk" }, /impossible size/);
  });

  it("refuses what is not what it was said to be, is cut short, or damaged", async () => {
    for (const format of IMAGE_FORMATS.filter((one) => one !== "raw")) {
      await refused("odd.raw", { format }, new RegExp(`is not a ${format} image`));
      qemuImg("convert", "-f", "raw", "-O", format, "content.raw", `cut.${format}`);
      truncateSync(join(imports, `cut.${format}`), 300 * 1024);
      await refused(`cut.${format}`, { format }, /damaged|can't be read as|cut short/);
    }
    qemuImg("convert", "-f", "raw", "-O", "qcow2", "content.raw", "corrupt.qcow2");
    const file = openSync(join(imports, "corrupt.qcow2"), "r+");
    writeSync(file, Buffer.alloc(64 * 1024, 0xff), 0, 64 * 1024, 3 * 64 * 1024);
    await refused("corrupt.qcow2", { format: "qcow2" }, /is damaged/);
    for (const compression of ["gz", "xz", "zst"] as const) {
      await refused("content.raw", { format: "raw", compression }, new RegExp(`not packed as ${compression}`));
      shell(PACK[compression], "content.raw", `cut.raw.${compression}`);
      truncateSync(join(imports, `cut.raw.${compression}`), 600);
      await refused(`cut.raw.${compression}`, { format: "raw", compression }, /can't be unpacked/);
    }
  });

  it("refuses a file with another checksum", async () => {
    await refused(
      "content.raw",
      { format: "raw", sha256: "0".repeat(64) },
      /sha256: the file has another checksum: [0-9a-f]{64}/,
    );
  });

  it("stops a bomb", async () => {
    shell("truncate -s 1G bomb.raw");
    shell(PACK.zst, "bomb.raw", "bomb.raw.zst");
    await refused("bomb.raw.zst", { format: "raw", compression: "zst" }, /more than \d+ bytes of content/);
    await refused("bomb.raw.zst", { format: "qcow2", compression: "zst" }, /more than \d+ bytes of content/);
    await refused("bomb.raw", { format: "raw" }, /more than \d+ bytes of content/);
    qemuImg("create", "-q", "-f", "qcow2", "huge.qcow2", "60T");
    await refused("huge.qcow2", { format: "qcow2" }, /more than \d+ bytes of content/);
  });
});
