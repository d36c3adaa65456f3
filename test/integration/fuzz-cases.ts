import { afterAll, beforeAll, expect, it } from "vitest";
import type { FuzzReport } from "../lab/fuzz/report.ts";
import { fuzz, resourcesOfIngotd } from "../lab/fuzz/run.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { createSimulatedRack, type SimulatedRack } from "../lab/simulated/rack.ts";
import { until } from "./until.ts";

/** Tests that send `count` mutants to each server of a rack of that name and control number; `check` may ask more of a report. */
export function fuzzEveryServer(
  place: { name: string; control: number },
  count: number,
  check: (report: FuzzReport) => void = () => {},
): void {
  const stateDirectory = `/var/tmp/ingot-${place.name}`;
  let simulated: SimulatedRack;

  beforeAll(async () => {
    simulated = await createSimulatedRack({ ...place, stateDirectory }, { machines: 32, provisioned: 1 });
  }, 60_000);
  afterAll(() => destroyEverything(stateDirectory));

  it.each(["dhcp", "tftp", "http"] as const)(
    "serves honest nodes while mutants come by %s",
    async (protocol) => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      console.log(`${protocol}: seed ${seed}`);
      const before = await resourcesOfIngotd(simulated.rack);
      const report = await fuzz(simulated, { protocol, count, seed });
      console.log(JSON.stringify(report));
      expect(report.sent).toBe(count);
      expect(report.pastCodec, "mutants that are understood").toBeGreaterThan(count / 2);
      expect(report.honestServed).toBe(count / 500);
      check(report);
      await until("its descriptors are given back", async () => {
        return (await resourcesOfIngotd(simulated.rack)).descriptors <= before.descriptors + 8;
      });
    },
    900_000,
  );
}
