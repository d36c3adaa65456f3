/**
 * What a node wrote is there, whatever happens to the appliance while it writes: fio on the node writes, reads back and
 * compares all the time. The pool lies on a disk that drops what was not flushed when its power goes.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createDroppingDisk, type DroppingDisk } from "../../lab/dropping-disk.ts";
import { destroyEverything, killProcess } from "../../lab/lab-state.ts";
import { runProgram } from "../../lab/program.ts";
import {
  backOnDisk,
  bootFioNode,
  endRounds,
  type FioNode,
  halfWritten,
  killTgtd,
  roundCompared,
  writesAgain,
} from "../fio-node.ts";

const STATE = "/var/tmp/ingot-e2e-full-durability";
const POOL_BYTES = 2 * 1024 ** 3;
const DAEMONS = ["tgtd-0", "storaged", "ingotd"];
const DOWN_MS = 5 * 60_000;
const BACK_MS = 180_000;

let poolDisk: DroppingDisk;
let writer: FioNode;

beforeAll(async () => {
  writer = await bootFioNode({
    stateDirectory: STATE,
    name: "dufull",
    control: 485,
    poolFile: async (stateDirectory) => {
      poolDisk = await createDroppingDisk(stateDirectory, "pool-disk", POOL_BYTES);
      await runProgram("mkfs.xfs", ["-q", "-m", "reflink=1", poolDisk.path]);
      return poolDisk.path;
    },
  });
}, 300_000);
afterAll(() => destroyEverything(STATE));

/** SIGKILL for all daemons of the appliance at once. */
async function killAppliance(): Promise<void> {
  await Promise.all(DAEMONS.map((daemon) => killProcess(STATE, daemon)));
}

/** What was killed lets go of its files only once it is gone. */
async function applianceIsGone(): Promise<void> {
  for (const daemon of DAEMONS) await writer.rack.end(daemon);
}

async function startAppliance(): Promise<void> {
  await applianceIsGone();
  await writer.rack.startTgtd();
  await writer.rack.startStoraged();
  await writer.rack.startIngotd();
  await backOnDisk(writer);
}

it("misses no block when tgtd is killed twenty times", { timeout: 900_000 }, async () => {
  for (let kills = 0; kills < 20; kills++) {
    await killTgtd(writer);
    await writesAgain(writer);
  }
  await roundCompared(writer, BACK_MS);
});

it("misses no block when the appliance's machine loses its power three times", { timeout: 900_000 }, async () => {
  for (let crashes = 0; crashes < 3; crashes++) {
    await halfWritten(writer);
    await killAppliance();
    await poolDisk.powerOff();
    await applianceIsGone();
    await runProgram("umount", ["-d", join(STATE, "pool")]);
    await poolDisk.powerOn();
    // others' mount namespaces may hold copies of the mount that has just ended
    await runProgram("mount", ["-o", "loop,nouuid", poolDisk.path, join(STATE, "pool")]);
    await startAppliance();
    await roundCompared(writer, BACK_MS);
  }
});

it("goes on when ingotd, storaged and tgtd were down for five minutes", { timeout: 900_000 }, async () => {
  await killAppliance();
  await sleep(DOWN_MS);
  await startAppliance();
  await roundCompared(writer, BACK_MS);
});

it("has compared every round, and its kernel saw no error", { timeout: 300_000 }, async () => {
  expect(await endRounds(writer)).toBeGreaterThan(3);
});
