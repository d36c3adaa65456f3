/**
 * What an initiator meets at the disk of a pool that runs full, and of one whose backing disk does: every write that was
 * acknowledged is there afterwards, every other one is an error.
 *
 *   Initiator -- tgtd -- disk file on XFS -- loop -- pool file on XFS -- loop -- file
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { createFilePoolSpace } from "../../src/drivers/images/file-pool-space.ts";
import { openFileStore } from "../../src/drivers/images/file-store.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { mountedAt } from "../../src/drivers/images/mounts.ts";
import type { TargetSpec } from "../../src/drivers/targets/target-server.ts";
import { tgtdArguments } from "../../src/drivers/targets/tgt-daemon.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { makePool } from "../../src/storaged/make-pool.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { Initiator } from "../lab/iscsi/initiator.ts";
import { destroyEverything, endProcess, recordTgtdSocket, startProcess } from "../lab/lab-state.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-full-target";
const OUTER = join(STATE, "outer");
const POOL = join(STATE, "pool");
const IMPORTS = join(STATE, "imports");
const CONTROL = 500;
const PORT = 25_000;
const MIB = 1024 ** 2;
const CHUNK = 64 * 1024;
const CHUNKS = 128;
/** What the pool has left for the disk: a part of what is written. */
const ROOM = 3 * MIB;

const signal = AbortSignal.timeout(170_000);
const targets = createTgtServer();
let store: ImageStore;
let initiator: Initiator;
let copies = 0;

afterAll(() => wipe());

/** Lazily: namespaces of other tests may hold copies of the mounts. */
async function wipe(): Promise<void> {
  await endProcess(STATE, "tgtd");
  for (const directory of [POOL, OUTER]) {
    if (existsSync(directory) && (await mountedAt(directory))) execFileSync("umount", ["--lazy", directory]);
  }
  await destroyEverything(STATE);
}

/** A pool in a new file system, and in it a disk that is served to this process. */
async function start(sparse: boolean): Promise<void> {
  await wipe();
  mkdirSync(IMPORTS, { recursive: true });
  await makePool({ directory: OUTER, file: join(STATE, "outer.img"), sizeBytes: 1024 * MIB, sparse: true });
  await makePool({ directory: POOL, file: join(OUTER, "pool.img"), sizeBytes: 512 * MIB, sparse });
  store = await openFileStore({ directory: POOL, importDirectories: [IMPORTS] });
  writeFileSync(join(IMPORTS, "empty.raw"), Buffer.alloc(MIB, "content"));
  truncateSync(join(IMPORTS, "empty.raw"), CHUNK * CHUNKS);
  await store.import({ image: "img-empty", path: join(IMPORTS, "empty.raw"), format: "raw" }, () => {}, signal);
  await store.clone("img-empty", "disk-one", signal);
  initiator = await serve();
}

async function serve(): Promise<Initiator> {
  const chap = { user: "one", secret: "correct-horse-1" };
  const spec: TargetSpec = {
    iqn: targetIqn("app-test", "disk-one"),
    units: [{ lun: 1, disk: "disk-one", backing: await store.backing("disk-one"), readOnly: false }],
    openTo: "127.0.0.1" as Ipv4,
    chap,
  };
  await recordTgtdSocket(STATE, CONTROL);
  const argv = ["tgtd", ...tgtdArguments({ control: CONTROL, loopbackPort: PORT })];
  await startProcess(STATE, argv, { name: "tgtd", stdio: ["ignore", "ignore", "ignore"] });
  const answers = () => targets.list(CONTROL, signal).then(Boolean, () => false);
  await until("tgtd answers", answers);
  await targets.ensureTarget(CONTROL, spec, signal);
  return Initiator.logIn({ address: "127.0.0.1", port: PORT, iqn: spec.iqn, ...chap });
}

/** Takes all but `leave` bytes of a file system's room; answers how to give it back. */
function fill(directory: string, leave: number): () => void {
  const { bavail, bsize } = statfsSync(directory);
  const filler = join(directory, "filler");
  execFileSync("fallocate", ["-l", String(bavail * bsize - leave), filler]);
  return () => {
    truncateSync(filler, 0);
    rmSync(filler);
  };
}

const sectorOf = (chunk: number) => (chunk * CHUNK) / 512;

/** Writes every chunk once; which were acknowledged with which content, and the errors of the others. */
async function writeAll(): Promise<{ acknowledged: Map<number, Buffer>; errors: string[] }> {
  const acknowledged = new Map<number, Buffer>();
  const errors: string[] = [];
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    const content = randomBytes(CHUNK);
    await initiator.write(sectorOf(chunk), content).then(
      () => acknowledged.set(chunk, content),
      (error) => errors.push(error.message),
    );
  }
  return { acknowledged, errors };
}

async function missing(acknowledged: Map<number, Buffer>): Promise<number[]> {
  const lost: number[] = [];
  for (const [chunk, content] of acknowledged) {
    const read = await initiator.read(sectorOf(chunk), CHUNK / 512).catch(() => Buffer.alloc(0));
    if (!read.equals(content)) lost.push(chunk);
  }
  return lost;
}

/** Which chunks would be others if the machine stopped now: what a copy of the pool's file holds, mounted. */
function lostByCrash(acknowledged: Map<number, Buffer>): number[] {
  const [copy, mount] = [join(OUTER, "copy.img"), join(STATE, `copy-${copies++}`)];
  execFileSync("cp", ["--reflink=always", join(OUTER, "pool.img"), copy]);
  mkdirSync(mount);
  execFileSync("mount", ["-o", "loop,nouuid", copy, mount]);
  const disk = readFileSync(join(mount, "disks/disk-one.raw"));
  execFileSync("umount", ["--lazy", mount]);
  rmSync(copy);
  return [...acknowledged.keys()].filter(
    (chunk) => !disk.subarray(chunk * CHUNK, (chunk + 1) * CHUNK).equals(acknowledged.get(chunk)!),
  );
}

/** SCSI status CHECK CONDITION, sense key MEDIUM ERROR (SPC-4 4.5): an initiator must not take it for done. */
const MEDIUM_ERROR = /SCSI status 2, sense (.{4})?7[01]..03/;

describe("a pool that runs full", () => {
  beforeEach(() => start(false));

  it("fails writes with a medium error and keeps every acknowledged one; after growth all go well", async () => {
    fill(POOL, ROOM);
    const { acknowledged, errors } = await writeAll();
    expect(acknowledged.size).toBeGreaterThan(8);
    expect(errors.length).toBeGreaterThan(8);
    for (const error of errors) expect(error).toMatch(MEDIUM_ERROR);
    expect(await missing(acknowledged)).toEqual([]);
    expect(lostByCrash(acknowledged)).toEqual([]);

    const space = createFilePoolSpace(POOL);
    await space.allocateFile(640 * MIB, () => {}, signal);
    await space.growFilesystem(signal);
    expect(await missing(acknowledged)).toEqual([]);
    const second = await writeAll();
    expect(second.errors).toEqual([]);
    expect(lostByCrash(second.acknowledged)).toEqual([]);
  });
});

describe("a sparse pool file whose disk runs full", () => {
  beforeEach(() => start(true));

  it("fails writes and keeps every acknowledged one; its usage had told, and growth gives it its blocks", async () => {
    const giveBack = fill(OUTER, ROOM);
    const { freeBytes, totalBytes } = await store.usage(signal);
    expect(freeBytes).toBeLessThan(totalBytes * 0.05);
    const { acknowledged, errors } = await writeAll();
    console.log(`sparse: ${acknowledged.size} acknowledged, ${errors.length} refused`);
    expect(errors.length).toBeGreaterThan(8);
    for (const error of errors) expect(error).toMatch(MEDIUM_ERROR);
    expect(await missing(acknowledged)).toEqual([]);
    giveBack();
    expect(lostByCrash(acknowledged)).toEqual([]);

    await createFilePoolSpace(POOL).allocateFile(512 * MIB, () => {}, signal);
    const giveBackAgain = fill(OUTER, MIB);
    const second = await writeAll();
    expect(second.errors).toEqual([]);
    giveBackAgain();
    expect(lostByCrash(second.acknowledged)).toEqual([]);
  });
});
