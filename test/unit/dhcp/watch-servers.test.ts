import { expect, it } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import { DhcpStanding } from "../../../src/dhcp/standing.ts";
import { watchServers } from "../../../src/dhcp/watch-servers.ts";
import { createLog } from "../../../src/log.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { rack } from "../leases/world.ts";

/** A clock whose sleeps end when the test says so, or with their signal. */
function heldClock() {
  const sleeps: { ms: number; end: () => void }[] = [];
  const clock: Clock = {
    now: () => 1000,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        signal?.addEventListener("abort", () => reject(signal.reason));
        sleeps.push({ ms, end: resolve });
      }),
  };
  return { clock, sleeps };
}

const settled = () => new Promise(setImmediate);

it("looks again at once when told to hurry, and never more often than while it is silent", async () => {
  const { clock, sleeps } = heldClock();
  const network = rack();
  let probes = 0;
  const watch = watchServers({
    network,
    standing: new DhcpStanding(network, clock, createLog("silent")),
    mac: "02:00:00:00:00:01" as Mac,
    openSocket: async () => {
      probes++;
      throw new Error("port 68 is taken");
    },
    clock,
    times: { windowMs: 1, everyMs: 300, silentEveryMs: 30 },
  });
  await settled();
  expect([probes, sleeps.at(-1)?.ms]).toEqual([1, 30]);
  for (let heard = 0; heard < 100; heard++) watch.hurry();
  await settled();
  expect(probes).toBe(1);
  sleeps.at(-1)?.end();
  await settled();
  expect([probes, sleeps.at(-1)?.ms]).toEqual([2, 30]);
  sleeps.at(-1)?.end();
  await settled();
  expect([probes, sleeps.at(-1)?.ms]).toEqual([2, 270]);
  watch.hurry();
  await settled();
  expect(probes).toBe(3);
  await watch.stop();
});
