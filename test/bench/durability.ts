/**
 * What it costs that a write is on disk before it is acknowledged: our targets beside tgt's default, which acknowledges
 * from memory and loses that when the machine crashes. One initiator, on a new clone in an XFS pool each time.
 * usage: npm run bench -- durability [--json] [--rounds N] [--case TEXT]
 */
import { randomBytes } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import { tgtdArguments } from "../../src/drivers/targets/tgt-daemon.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { makePool } from "../../src/storaged/make-pool.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { serveCached } from "../lab/iscsi/cached-target.ts";
import { Initiator } from "../lab/iscsi/initiator.ts";
import { destroyEverything, recordTgtdSocket, startProcess } from "../lab/lab-state.ts";
import { installPackages } from "../lab/packages.ts";
import { runProgram } from "../lab/program.ts";
import { type Case, sideBySide } from "./measure/side-by-side.ts";

const STATE = "/var/tmp/ingot-bench-durability";
const CONTROL = 486;
const PORT = 24_986;
const MIB = 1024 ** 2;
const IMAGE_BYTES = 512 * MIB;
const POOL_BYTES = 4096 * MIB;
const SECTOR_BYTES = 512;
const MEASURE_MS = 2000;
const PAGE = Buffer.alloc(4096, "page");
const LARGE = Buffer.alloc(256 * 1024, "large");

/** One measurement on a disk that is logged in to: a rate. */
type Load = (initiator: Initiator) => Promise<number>;

const LOADS: Record<string, { unit: string; load: Load }> = {
  "4k writes, 1 at a time": { unit: "1/s", load: (one) => rate(1, () => one.write(anywhere(), PAGE)) },
  "4k writes, 16 at a time": { unit: "1/s", load: (one) => rate(16, () => one.write(anywhere(), PAGE)) },
  "256k writes in sequence": { unit: "MiB/s", load: async (one) => (await rate(4, inSequence(one))) / 4 },
  "commits of a journal": { unit: "1/s", load: (one) => rate(1, () => commit(one)) },
  "4k reads beside 16 writes": { unit: "1/s", load: readsBesideWrites },
};

installPackages(["tgt", "xfsprogs"]);
await destroyEverything(STATE);
const pool = join(STATE, "pool");
await mkdir(pool, { recursive: true });
try {
  await makePool({ directory: pool, file: join(STATE, "pool.xfs"), sizeBytes: POOL_BYTES });
  const store = await openFileStore({ directory: pool, importDirectories: [STATE] });
  const signal = AbortSignal.timeout(3_600_000);
  await writeImage(join(STATE, "image.raw"));
  await store.import({ image: "image", path: join(STATE, "image.raw"), format: "raw" }, () => {}, signal);
  await recordTgtdSocket(STATE, CONTROL);
  const argv = ["tgtd", ...tgtdArguments({ control: CONTROL, loopbackPort: PORT })];
  await startProcess(STATE, argv, { name: "tgtd", stdio: ["ignore", "ignore", "ignore"] });
  const targets = createTgtServer();
  let disks = 0;

  const measure = async (load: Load, writeThrough: boolean) => {
    const disk = `disk-${++disks}`;
    const iqn = targetIqn("app-bench", disk);
    const login = { address: "127.0.0.1", port: PORT, iqn };
    const chap = { user: disk, secret: "correct-horse-1" };
    await store.clone("image", disk, signal);
    const backing = await store.backing(disk);
    const units = [{ lun: 1, disk, backing, readOnly: false }];
    if (writeThrough) await targets.ensureTarget(CONTROL, { iqn, units, openTo: "127.0.0.1" as Ipv4, chap }, signal);
    else await serveCached(CONTROL, iqn, backing.path, signal);
    const initiator = await Initiator.logIn(writeThrough ? { ...login, ...chap } : login);
    try {
      return await load(initiator);
    } finally {
      initiator.cut();
      await targets.removeTarget(CONTROL, iqn, signal);
      await store.remove("disk", disk, signal);
      // what one measurement left in memory is not the next one's to write
      await runProgram("sync", ["-f", pool]);
    }
  };
  const cases = Object.entries(LOADS).map(
    ([name, { unit, load }]): Case => ({
      case: name,
      unit,
      better: "higher",
      ours: () => measure(load, true),
      peer: "tgt's default",
      theirs: () => measure(load, false),
    }),
  );
  await sideBySide("durability", cases, 5);
} finally {
  await destroyEverything(STATE);
}

/** Calls per second, so many at a time. */
async function rate(atOnce: number, call: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  let calls = 0;
  const lane = async () => {
    for (; performance.now() - began < MEASURE_MS; calls++) await call();
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return (calls * 1000) / (performance.now() - began);
}

/** The first sector of any page. */
function anywhere(): number {
  return Math.floor(Math.random() * (IMAGE_BYTES / PAGE.length)) * (PAGE.length / SECTOR_BYTES);
}

function inSequence(initiator: Initiator): () => Promise<void> {
  let at = 0;
  return () => {
    const sector = at;
    at = (at + LARGE.length / SECTOR_BYTES) % (IMAGE_BYTES / SECTOR_BYTES);
    return initiator.write(sector, LARGE);
  };
}

/** As a journaling file system does: the pages, the journal, a flush, and the commit record past the cache. */
async function commit(initiator: Initiator): Promise<void> {
  await Promise.all(Array.from({ length: 8 }, () => initiator.write(anywhere(), PAGE)));
  await initiator.write(0, PAGE);
  await initiator.flush();
  await initiator.write(PAGE.length / SECTOR_BYTES, PAGE, { fua: true });
}

async function readsBesideWrites(initiator: Initiator): Promise<number> {
  const writing = rate(16, () => initiator.write(anywhere(), PAGE));
  const reads = await rate(1, () => initiator.read(anywhere(), PAGE.length / SECTOR_BYTES));
  await writing;
  return reads;
}

async function writeImage(path: string): Promise<void> {
  const file = await open(path, "w");
  for (let written = 0; written < IMAGE_BYTES; written += 16 * MIB) await file.write(randomBytes(16 * MIB));
  await file.close();
}
