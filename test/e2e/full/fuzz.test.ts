/** A million mutants of captured packets to every server of a running ingotd: nothing ends, and nothing grows. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { until } from "../../integration/until.ts";
import { fuzz, resourcesOfIngotd } from "../../lab/fuzz/run.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { createSimulatedRack, type SimulatedRack } from "../../lab/simulated/rack.ts";

const STATE = "/var/tmp/ingot-fuzz-full";
const COUNT = 1_000_000;
/** Node lets its heap grow before it cleans up: what counts is that the second half of a run adds next to nothing. */
const MOST_GROWTH = 1.15;
let simulated: SimulatedRack;

beforeAll(async () => {
  simulated = await createSimulatedRack(
    { stateDirectory: STATE, name: "fuzzfull", control: 691 },
    { machines: 32, provisioned: 1 },
  );
}, 60_000);
afterAll(() => destroyEverything(STATE));

it.each(["dhcp", "tftp", "http"] as const)(
  "takes a million mutants by %s",
  async (protocol) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`${protocol}: seed ${seed}`);
    const before = await resourcesOfIngotd(simulated.rack);
    const report = await fuzz(simulated, { protocol, count: COUNT, seed });
    console.log(JSON.stringify(report));
    expect(report.pastCodec, "mutants that are understood").toBeGreaterThan(COUNT / 2);
    expect(report.honestServed).toBe(COUNT / 500);
    const [, , middle, end] = report.resources.map(({ residentMiB }) => residentMiB);
    expect(end, "MiB resident at the end").toBeLessThan((middle as number) * MOST_GROWTH);
    await until("its descriptors are given back", async () => {
      return (await resourcesOfIngotd(simulated.rack)).descriptors <= before.descriptors + 8;
    });
  },
  900_000,
);
