/** Mutants of captured packets to every server of a running ingotd. A million each: e2e/full/fuzz. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { fuzz, resourcesOfIngotd } from "../lab/fuzz/run.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { createSimulatedRack, type SimulatedRack } from "../lab/simulated/rack.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-fuzz-test";
const COUNT = 10_000;
let simulated: SimulatedRack;

beforeAll(async () => {
  simulated = await createSimulatedRack(
    { stateDirectory: STATE, name: "fuzz", control: 690 },
    { machines: 32, provisioned: 1 },
  );
}, 60_000);
afterAll(() => destroyEverything(STATE));

it.each(["dhcp", "tftp", "http"] as const)(
  "serves honest nodes while mutants come by %s",
  async (protocol) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`${protocol}: seed ${seed}`);
    const before = await resourcesOfIngotd(simulated.rack);
    const report = await fuzz(simulated, { protocol, count: COUNT, seed });
    console.log(JSON.stringify(report));
    expect(report.sent).toBe(COUNT);
    expect(report.pastCodec, "mutants that are understood").toBeGreaterThan(COUNT / 2);
    expect(report.honestServed).toBe(COUNT / 500);
    await until("its descriptors are given back", async () => {
      return (await resourcesOfIngotd(simulated.rack)).descriptors <= before.descriptors + 8;
    });
  },
  120_000,
);
