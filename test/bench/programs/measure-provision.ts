/** The nodes' end of `npm run bench -- provision`. */
import type { Operation } from "../../../src/cli/answers.ts";
import { api, ended, facts, loopDelay } from "../measure/client.ts";
import { batch, IMAGES, onBootedNode, provisions, register, releases, snapshot } from "../measure/node-life.ts";
import { type Case, sideBySide } from "../measure/side-by-side.ts";

/** Imports over and over until told to stop. */
async function importing(stop: AbortSignal): Promise<void> {
  const file = `${facts.importDirectory}/one.raw`;
  while (!stop.aborted) {
    await ended(await api.post<Operation>(IMAGES, { name: "meanwhile", path: file, format: "raw" }));
    await ended(await api.delete<Operation>(`${IMAGES}/meanwhile`));
  }
}

const bound = (theirs: number) => ({ unit: "ms", better: "lower" as const, peer: "bound", theirs });
const cases: Case[] = [
  { case: "provision-1g", ...bound(60), ours: () => provisions("one") },
  { case: "provision-10g", ...bound(60), ours: () => provisions("ten") },
  { case: "provision-fragmented", ...bound(1500), ours: () => provisions("fragmented") },
  { case: "snapshot", ...bound(40), ours: () => onBootedNode("one", snapshot) },
  { case: "snapshot-fragmented", ...bound(1500), ours: () => onBootedNode("fragmented", snapshot) },
  { case: "deprovision", ...bound(100), ours: () => releases("one") },
  { case: "batch-24", ...bound(1000), ours: () => batch("one") },
  { case: "event-loop-p99", ...bound(20), ours: async () => (await loopDelay()).p99Ms },
];

await register(10_000);
await loopDelay();
const stop = new AbortController();
const background = importing(stop.signal);
await sideBySide("provision", cases, 3);
stop.abort();
await background;
