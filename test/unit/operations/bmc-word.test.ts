import { expect, it } from "vitest";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { BmcWord } from "../../../src/operations/bmc-word.ts";
import { bootEntry } from "../boot/boot-fixtures.ts";

it("asks every BMC in its turn, however many are dead", async () => {
  let now = 0;
  let giveUp: (() => void)[] = [];
  const asked = new Set<string>();
  const appliance = {
    config: { operations: { bmcSeconds: 30 } },
    clock: { now: () => now },
    nodes: { get: (id: string) => id },
    powerOf: (id: string) => ({
      sinceRestart: () => {
        asked.add(id);
        return new Promise((_, reject) => giveUp.push(() => reject(new Error("no answer"))));
      },
    }),
  };
  const word = new BmcWord(appliance as unknown as Appliance, new AbortController().signal);
  const entries = Array.from({ length: 24 }, (_, index) => bootEntry({ node: `node-${index}` }));
  for (let round = 0; round < 3; round++) {
    for (const entry of entries) word.ask(entry, now);
    await expect.poll(() => giveUp.length).toBe(8);
    now += 30_000;
    for (const one of giveUp.splice(0)) one();
    giveUp = [];
  }
  expect(asked.size).toBe(entries.length);
});
