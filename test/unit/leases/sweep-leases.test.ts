import { expect, it } from "vitest";
import { sweepLeases } from "../../../src/leases/sweep-leases.ts";
import { createLog } from "../../../src/log.ts";
import { leaseWorld } from "./world.ts";

it("drops expired leases in the background, goes on after a disk that refused, and stops when told", async () => {
  const { leases, lease, clock, records } = leaseWorld();
  for (const machine of [1, 2, 3]) await lease(machine);
  clock.turn(620);
  const pauses: (() => void)[] = [];
  const sleep = (_: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      pauses.push(resolve);
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  const warnings: string[] = [];
  const log = createLog("warn", { write: (line) => void warnings.push(line) });
  records.held = true;
  const stop = sweepLeases(leases, { now: clock.now, sleep }, log);
  records.refuse();
  await expect.poll(() => pauses.length).toBe(1);
  expect(warnings.length).toBe(1);
  expect(records.collection("leases").size).toBe(3);
  records.held = false;
  pauses[0]!();
  await expect.poll(() => pauses.length).toBe(2);
  expect(records.collection("leases").size).toBe(0);
  await stop();
});
