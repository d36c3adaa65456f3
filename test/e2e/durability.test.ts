/**
 * What a node wrote is there when tgtd is killed under it. Twenty times, the whole appliance down for long, and its
 * machine's power lost: full/durability.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { destroyEverything } from "../lab/lab-state.ts";
import { bootFioNode, endRounds, type FioNode, killTgtd, roundCompared } from "./fio-node.ts";

const STATE = "/var/tmp/ingot-e2e-durability";
let writer: FioNode;

beforeAll(async () => {
  writer = await bootFioNode({ stateDirectory: STATE, name: "du", control: 482 });
}, 240_000);
afterAll(() => destroyEverything(STATE));

it("misses no acknowledged block when tgtd is killed three times while it writes", { timeout: 300_000 }, async () => {
  for (let kills = 0; kills < 3; kills++) await killTgtd(writer);
  await roundCompared(writer);
  expect(await endRounds(writer)).toBeGreaterThan(1);
});
