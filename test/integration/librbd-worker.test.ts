/** The process that talks to Ceph through librbd may die at any moment, by a fault of a library that is not ours. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createLibrbdPool } from "../../src/drivers/images/rbd/librbd-pool.ts";
import { createCephCluster, loopbackHost } from "../lab/ceph.ts";
import { destroyEverything } from "../lab/lab-state.ts";

const STATE = "/var/tmp/ingot-librbd-worker";
const MIB = 1024 ** 2;
const signal = AbortSignal.timeout(180_000);

let pool: ReturnType<typeof createLibrbdPool>;

beforeAll(async () => {
  await destroyEverything(STATE);
  const cluster = await createCephCluster(loopbackHost(STATE), { port: 28_900 });
  pool = createLibrbdPool(cluster);
  await pool.create("disk-1", MIB, signal);
}, 180_000);
afterAll(async () => {
  pool?.close();
  await destroyEverything(STATE);
});

/** Has it die while it owes an answer. */
async function dyingOver<T>(call: () => Promise<T>): Promise<T> {
  const pid = worker();
  process.kill(pid, "SIGSTOP");
  const answer = call();
  process.kill(pid, "SIGKILL");
  return await answer;
}

function worker(): number {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean);
  const pid = children.find((one) => readFileSync(`/proc/${one}/cmdline`, "utf8").includes("/librbd-worker.ts"));
  if (pid === undefined) throw new Error(`none of ${children} is the worker`);
  return Number(pid);
}

it("is asked once more for what only looks", async () => {
  expect(await dyingOver(() => pool.size("disk-1", signal))).toBe(MIB);
  expect(await dyingOver(() => pool.list(signal))).toEqual(["disk-1"]);
  expect(await dyingOver(() => pool.inspect("disk-none", [], signal))).toBeUndefined();
});

it("fails what changes something: nobody knows whether that was done", async () => {
  await expect(dyingOver(() => pool.grow("disk-1", 2 * MIB, signal))).rejects.toMatchObject({
    code: "UNAVAILABLE",
    retryable: true,
  });
  await pool.grow("disk-1", 2 * MIB, signal);
  expect(await pool.size("disk-1", signal)).toBe(2 * MIB);
});
