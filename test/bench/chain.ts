/**
 * What a long line of ancestors costs a read: disks that were cloned from a snapshot of a disk that was cloned from ..., so
 * deep, beside one that stands alone. In Ceph a read goes through all of them; files that share blocks know no ancestors.
 * usage: npm run bench -- chain [--json] [--store file|rbd]
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { makePool } from "../../src/storaged/make-pool.ts";
import { createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";

const MIB = 1024 ** 2;
const IMAGE_BYTES = 64 * MIB;
const SECONDS = 3;
const ROUNDS = 3;
const DEEPEST = 11;
const PLACE = "/var/tmp/ingot-bench-chain";
const signal = AbortSignal.timeout(3_600_000);

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    store: { type: "string" },
  },
});

type Subject = {
  store: ImageStore;
  /** Random reads of 4 KiB, one at a time, without a cache in between; how many a second. */
  reads(disk: string): Promise<number>;
  end(): Promise<void>;
};

async function fileSubject(): Promise<Subject> {
  const directory = join(PLACE, "pool");
  await makePool({ directory, file: `${directory}.file`, sizeBytes: 1024 * MIB, sparse: true, filesystem: "xfs" });
  return {
    store: await openFileStore({ directory, importDirectories: [PLACE] }),
    reads: (disk) => fio("--ioengine=psync", "--direct=1", `--filename=${join(directory, "disks", `${disk}.raw`)}`),
    end: async () => void (await runProgram("umount", [directory])),
  };
}

async function rbdSubject(): Promise<Subject> {
  const { conf, user, pool } = await createCephCluster(loopbackHost(join(PLACE, "ceph")), { port: 34_400 });
  const access = { conf, user, pool };
  const rbd = createLibrbdPool(access);
  const spoolDirectory = join(PLACE, "spool");
  return {
    store: openRbdStore({ pool: rbd, access, importDirectories: [PLACE], spoolDirectory, maxImageBytes: IMAGE_BYTES }),
    async reads(disk) {
      const what = ["--io-type", "read", "--io-pattern", "rand", "--io-size", "4096", "--io-threads", "1"];
      const total = ["--io-total", String(4 * MIB), "--rbd-cache", "false"];
      const said = await runProgram("rbd", [
        "--conf",
        conf,
        "--id",
        user,
        "bench",
        ...what,
        ...total,
        `${pool}/${disk}`,
      ]);
      return Number(/ops\/sec:\s*([\d.]+)/.exec(said)?.[1]);
    },
    async end() {
      rbd.close();
      await destroyEverything(join(PLACE, "ceph"));
    },
  };
}

async function fio(...place: string[]): Promise<number> {
  const how = ["--name=reads", "--rw=randread", "--bs=4k", "--iodepth=1", "--time_based", `--runtime=${SECONDS}`];
  const { jobs } = JSON.parse(await runProgram("fio", [...how, ...place, "--readonly", "--output-format=json"]));
  return jobs[0].read.iops;
}

/** Disks of each depth, and one that was flattened; median reads a second of each, and their share of the flat one's. */
async function measure({ store, reads }: Subject) {
  const path = join(PLACE, "content.raw");
  await writeFile(path, randomBytes(IMAGE_BYTES));
  await store.import({ image: "img-0", path, format: "raw" }, () => {}, signal);
  const subjects: { depth: number; disk: string; rounds: number[] }[] = [];
  let image = "img-0";
  // a disk is one deeper than its image, and its snapshot one deeper than the disk
  for (let depth = 1; depth <= DEEPEST; depth += 2) {
    const disk = `disk-${depth}`;
    await store.clone(image, disk, signal);
    image = `img-${depth + 1}`;
    await store.snapshot(disk, image, signal);
    subjects.push({ depth, disk, rounds: [] });
  }
  await store.clone("img-0", "disk-flat", signal);
  await store.flatten({ kind: "disk", id: "disk-flat", served: false }, () => {}, signal);
  const flat = { depth: 0, disk: "disk-flat", rounds: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const one of [flat, ...subjects]) one.rounds.push(await reads(one.disk));
  }
  const perSecond = median(flat.rounds);
  return [flat, ...subjects].map(({ depth, rounds }) => ({
    depth,
    readsPerSecond: Math.round(median(rounds)),
    share: Number((median(rounds) / perSecond).toFixed(2)),
  }));
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

await destroyEverything(join(PLACE, "ceph"));
await rm(PLACE, { recursive: true, force: true });
await mkdir(PLACE, { recursive: true });
const results: Record<string, unknown> = {};
for (const [name, make] of Object.entries({ file: fileSubject, rbd: rbdSubject })) {
  if (values.store !== undefined && values.store !== name) continue;
  const subject = await make();
  try {
    const rows = await measure(subject);
    results[name] = rows;
    if (!values.json) {
      console.log(`${name}: random reads of 4 KiB, one at a time`);
      for (const { depth, readsPerSecond, share } of rows) {
        console.log(`  depth ${String(depth).padStart(2)}  ${String(readsPerSecond).padStart(6)}/s  ${share}`);
      }
    }
  } finally {
    await subject.end();
  }
}
await rm(PLACE, { recursive: true, force: true });
if (values.json) console.log(JSON.stringify({ bench: "chain", ...results }));
