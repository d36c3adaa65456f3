/** The nodes' end of `npm run bench -- images`, for one store; M2's published figures stand beside ours where there are any. */
import { writeFileSync } from "node:fs";
import { facts } from "../measure/client.ts";
import { batch, onBootedNode, provisions, register, releases, snapshot } from "../measure/node-life.ts";
import { type Case, measure } from "../measure/side-by-side.ts";

const { store } = facts;
const bounds = store === "rbd" ? { provision: 200, batch: 3000 } : { provision: 60, batch: 1000 };
const ms = { unit: "ms", better: "lower" as const };
const cases: Case[] = [
  { case: `${store}-provision`, ...ms, peer: "bound", theirs: bounds.provision, ours: () => provisions("ten") },
  { case: `${store}-snapshot`, ...ms, peer: "M2", theirs: 11_650, ours: () => onBootedNode("ten", snapshot) },
  { case: `${store}-snapshot-small`, ...ms, peer: "M2", theirs: 11_650, ours: () => onBootedNode("small", snapshot) },
  { case: `${store}-deprovision`, ...ms, peer: "M2", theirs: 32_000, ours: () => releases("ten") },
  { case: `${store}-batch-24`, ...ms, peer: "bound", theirs: bounds.batch, ours: () => batch("ten") },
];

await register(100);
writeFileSync(facts.resultsFile, JSON.stringify(await measure(cases, 3)));
