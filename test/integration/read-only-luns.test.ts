/** Read-only LUNs of a real tgtd, on a file and in Ceph: every command that would change the disk is refused. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Backing, ImageStore } from "../../src/drivers/images/image-store.ts";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { openRbdStore } from "../../src/drivers/images/rbd/rbd-store.ts";
import { shutOutFormer } from "../../src/drivers/images/rbd/shut-out-former.ts";
import type { TargetServer, TargetSpec, TargetUnit } from "../../src/drivers/targets/target-server.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { type CephCluster, createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { Initiator } from "../lab/iscsi/initiator.ts";
import { destroyEverything, endProcess } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";
import { startLoopbackTgtd } from "./loopback-tgtd.ts";

const STATE = "/var/tmp/ingot-read-only-luns";
const CONTROL = 485;
const PORT = 24_985;
const BYTES = 4 * 1024 ** 2;
const BLOCK = 512;
const CHECK_CONDITION = 2;
const ILLEGAL_REQUEST = 5;
const DATA_PROTECT = 7;
const signal = AbortSignal.timeout(300_000);

beforeAll(async () => {
  await destroyEverything(STATE);
  await runProgram("mkdir", ["-p", STATE]);
});
afterAll(() => destroyEverything(STATE));

/** A place for disks: two that hold 0x5a all over, and what one of them holds. */
type Place = {
  targets: TargetServer;
  backing: (disk: string) => Promise<Backing>;
  content: (disk: string) => Promise<Buffer>;
  close?: () => void;
};

async function files(): Promise<Place> {
  const path = (disk: string) => join(STATE, `${disk}.raw`);
  for (const disk of ["disk-root", "disk-data"]) await writeFile(path(disk), Buffer.alloc(BYTES, 0x5a));
  return {
    targets: createTgtServer(),
    backing: async (disk) => ({ type: "file", path: path(disk), unmap: true }),
    content: async (disk) => readFileSync(path(disk)),
  };
}

async function ceph(): Promise<Place> {
  const cluster: CephCluster = await createCephCluster(loopbackHost(STATE), { port: 28_650 });
  const { conf, user, pool } = cluster;
  const access = { conf, user, pool };
  const rbd = createLibrbdPool(access);
  const options = { pool: rbd, access, importDirectories: [STATE], spoolDirectory: join(STATE, "spool") };
  const store: ImageStore = openRbdStore(options);
  const path = join(STATE, "golden.raw");
  await writeFile(path, Buffer.alloc(BYTES, 0x5a));
  await store.import({ image: "img-golden", path, format: "raw" }, () => {}, signal);
  for (const disk of ["disk-root", "disk-data"]) await store.clone("img-golden", disk, signal);
  return {
    targets: createTgtServer({ beforeOpening: shutOutFormer(rbd, access) }),
    backing: (disk) => store.backing(disk),
    async content(disk) {
      const file = join(STATE, "exported");
      await rm(file, { force: true });
      await cluster.rbd("export", "--no-progress", `${pool}/${disk}`, file);
      return readFileSync(file);
    },
    close: () => rbd.close(),
  };
}

/** Commands that change a disk (SBC-3), their data, by name. */
const one = Buffer.alloc(BLOCK, 1);
const unmapList = Buffer.alloc(24);
unmapList.writeUInt16BE(22, 0);
unmapList.writeUInt16BE(16, 2);
unmapList.writeUInt32BE(8, 16);
const long = (opcode: number, flags = 0, blocks = 1) => [opcode, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, blocks, 0, 0];
const CHANGES: Record<string, { cdb: number[]; write: Buffer }> = {
  "WRITE (10)": { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], write: one },
  "WRITE (16)": { cdb: long(0x8a), write: one },
  "WRITE (16), FUA": { cdb: long(0x8a, 0x08), write: one },
  "WRITE AND VERIFY (10)": { cdb: [0x2e, 0, 0, 0, 0, 0, 0, 0, 1, 0], write: one },
  "ORWRITE (16)": { cdb: long(0x8b), write: one },
  "COMPARE AND WRITE": { cdb: long(0x89), write: Buffer.concat([Buffer.alloc(BLOCK, 0x5a), one]) },
  "WRITE SAME (16)": { cdb: long(0x93, 0, 8), write: one },
  "WRITE SAME (16), UNMAP": { cdb: long(0x93, 0x08, 8), write: Buffer.alloc(BLOCK) },
  UNMAP: { cdb: [0x42, 0, 0, 0, 0, 0, 0, 0, unmapList.length, 0], write: unmapList },
};

describe.each([
  ["a file", files],
  ["an RBD image", ceph],
] as const)("%s", (_, make) => {
  let place: Place;
  let spec: TargetSpec;

  beforeAll(async () => {
    place = await make();
    await startLoopbackTgtd(STATE, { control: CONTROL, loopbackPort: PORT }, place.targets, signal);
    const unit = async (lun: number, disk: string, readOnly: boolean): Promise<TargetUnit> => ({
      ...{ lun, disk, readOnly },
      backing: await place.backing(disk),
    });
    spec = {
      iqn: targetIqn("app-test", "disk-root"),
      units: [await unit(1, "disk-root", false), await unit(2, "disk-data", true)],
      openTo: "127.0.0.1" as Ipv4,
      chap: { user: "disk-root-1", secret: "correct-horse-1" },
    };
    await place.targets.ensureTarget(CONTROL, spec, signal);
  });
  afterAll(async () => {
    await endProcess(STATE, "tgtd");
    place?.close?.();
  });

  const logIn = (lun: number) =>
    Initiator.logIn({ address: "127.0.0.1", port: PORT, iqn: spec.iqn, lun, ...spec.chap });
  const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

  it("keeps every byte, and says that it is protected", async () => {
    const initiator = await logIn(2);
    for (const [name, { cdb, write }] of Object.entries(CHANGES)) {
      const { status, sense } = await initiator.command(cdb, { write });
      expect(status, name).toBe(CHECK_CONDITION);
      // COMPARE AND WRITE is no command of tgt's, and only thin disks take UNMAP
      const isKnown = !/^COMPARE|UNMAP/.test(name);
      expect(isKnown ? [DATA_PROTECT] : [DATA_PROTECT, ILLEGAL_REQUEST], name).toContain(sense[2]! & 0x0f);
    }
    expect((await initiator.read(0, 8)).every((byte) => byte === 0x5a)).toBe(true);
    initiator.cut();
    expect(digest(await place.content("disk-data"))).toBe(digest(Buffer.alloc(BYTES, 0x5a)));
  });

  it("takes writes at the same target's other LUN, and itself once it may", async () => {
    for (const [lun, disk] of [
      [1, "disk-root"],
      [2, "disk-data"],
    ] as const) {
      const units = spec.units.map((unit) => ({ ...unit, readOnly: false }));
      if (lun === 2) await place.targets.ensureTarget(CONTROL, { ...spec, units }, signal);
      const initiator = await logIn(lun);
      await initiator.write(0, one);
      initiator.cut();
      expect((await place.content(disk)).subarray(0, BLOCK), disk).toEqual(one);
    }
  });
});
