/** The disk that holds the state directory runs full: what goes on, what is refused, and that nothing is lost. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import type { Patient } from "../../src/operations/doctor/finding.ts";
import { stateDiskCheck } from "../../src/operations/doctor/state-disk.ts";
import { lockDirectory } from "../../src/store/lock.ts";
import { Store } from "../../src/store/store.ts";
import { LoopPools } from "./loop-pools.ts";

const MIB = 1024 ** 2;
const reserve = { bytes: 2 * MIB, retryMs: 0 };
const log = createLog("silent");
let pools: LoopPools;
let directory: string;
let store: Store;

beforeEach(async () => {
  pools = new LoopPools();
  directory = pools.plain("state");
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "ingot-full-state", directory]);
  store = await Store.open(directory, log, { reserve, compactAtBytes: MIB });
});
afterEach(async () => {
  await store.close();
  pools.remove();
});

const free = () => {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
};
const hasReserve = () => existsSync(join(directory, "reserve"));
const put = (key: string) => store.commit([{ collection: "things", key, value: { text: "x".repeat(2000) } }]);
const keys = (one: Store) => [...one.collection("things").entries()].map(([key]) => key);

/** Somebody else's data take all the room that there is. */
function fill(): void {
  execFileSync("fallocate", ["-l", String(free()), join(directory, "filler")]);
  expect(free()).toBe(0);
}

it("goes on from its reserve, then refuses and says why, and loses nothing of what it took", async () => {
  await expect.poll(hasReserve).toBe(true);
  await put("before");
  fill();
  const taken = ["before"];
  let refusal: unknown;
  for (let n = 0; !refusal && n < 10_000; n++) {
    await put(`n${n}`).then(
      () => taken.push(`n${n}`),
      (error) => {
        refusal = error;
      },
    );
  }
  // most of the reserve, at some 2 KB a line
  expect(taken.length).toBeGreaterThan(600);
  expect(hasReserve()).toBe(false);
  expect(refusal).toMatchObject({ code: "UNAVAILABLE", details: { remedy: expect.stringContaining("free space") } });
  expect(keys(store)).toEqual(taken);

  const release = await lockDirectory(directory);
  const again = await Store.open(directory, log, { reserve });
  expect(keys(again)).toEqual(taken);
  await release();

  rmSync(join(directory, "filler"));
  await put("after");
  expect(keys(store)).toEqual([...taken, "after"]);
  await expect.poll(hasReserve).toBe(true);
  await store.compact();
  store = await Store.open(directory, log, { reserve });
  expect(keys(store)).toEqual([...taken, "after"]);
});

it("is found by the doctor before and when it is full", async () => {
  const patient = { appliance: { config: { stateDirectory: directory } } } as unknown as Patient;
  const judged = async () => (await stateDiskCheck.run(patient, AbortSignal.timeout(1000))).map(({ state }) => state);
  const sized = (size: string) => execFileSync("mount", ["-o", `remount,size=${size}`, directory]);
  expect(await judged()).toEqual(["failed"]);
  sized("300m");
  expect(await judged()).toEqual(["warning"]);
  sized("1g");
  expect(await judged()).toEqual(["ok"]);
});

it("leaves no half checkpoint on a full disk", async () => {
  for (let n = 0; n < 100; n++) await put(`n${n}`);
  fill();
  await store.compact();
  expect(existsSync(join(directory, "store/things.json.new"))).toBe(false);
  await put("after");
});

it("starts where the disk is full, and no reserve is left", async () => {
  await store.close();
  rmSync(join(directory, "reserve"), { force: true });
  writeFileSync(join(directory, "lock"), "");
  fill();
  const release = await lockDirectory(directory);
  store = await Store.open(directory, log, { reserve });
  expect(hasReserve()).toBe(false);
  await release();
  expect(readFileSync(join(directory, "lock"), "utf8")).toBe("");
  await expect(put("late")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  rmSync(join(directory, "filler"));
});
