import pLimit from "p-limit";
import { describe, expect, it } from "vitest";
import { HilIsolator } from "../../../src/drivers/isolation/hil.ts";
import { HilClient } from "../../../src/drivers/isolation/hil-client.ts";
import type { Attachment } from "../../../src/drivers/isolation/network-isolator.ts";
import { type ErrorCode, isApplianceError } from "../../../src/errors.ts";
import type { Fault } from "../../fakes/hil/faults.ts";
import { type HilRack, startHilRack } from "../../fakes/hil/rack.ts";

/**
 * Each verb of the isolator with each fault at each call that it makes: it ends done, or in an error that says what
 * holds; and done again without the fault, it is done.
 */

const attachment = (network: string): Attachment => ({ node: "n1", nic: "eth0", network, channel: "native" });

type Verb = {
  name: string;
  /** How things are before. */
  before: (rack: HilRack) => void;
  run: (hil: HilIsolator, signal: AbortSignal) => Promise<unknown>;
  isDone: (rack: HilRack) => boolean;
};

const node = ({ hil }: HilRack) => hil.world.nodes.get("n1")!;
const networks = (rack: HilRack) => node(rack).nics.get("eth0")!.networks;
const isIn = (network: string) => (rack: HilRack) => [...networks(rack)].join() === `vlan/native,${network}`;
const owned = (rack: HilRack) => {
  node(rack).project = "p";
};

const verbs: Verb[] = [
  {
    name: "allocate",
    before: () => {},
    run: (hil, signal) => hil.allocate("n1", "p", signal),
    isDone: (rack) => node(rack).project === "p",
  },
  {
    name: "free",
    before: owned,
    run: (hil, signal) => hil.free("n1", "p", signal),
    isDone: (rack) => node(rack).project === null,
  },
  {
    name: "ensureNetwork",
    before: () => {},
    run: (hil, signal) => hil.ensureNetwork({ name: "new", project: "p" }, signal),
    isDone: ({ hil }) => hil.world.networks.get("new")?.owner === "p",
  },
  {
    name: "removeNetwork",
    before: () => {},
    run: (hil, signal) => hil.removeNetwork("tenant", signal),
    isDone: ({ hil }) => !hil.world.networks.has("tenant"),
  },
  {
    name: "ensureAttached",
    before: owned,
    run: (hil, signal) => hil.ensureAttached(attachment("prov"), signal),
    isDone: isIn("prov"),
  },
  {
    name: "ensureAttached, in place of another network",
    before: (rack) => {
      owned(rack);
      networks(rack).set("vlan/native", "prov");
    },
    run: (hil, signal) => hil.ensureAttached(attachment("tenant"), signal),
    isDone: isIn("tenant"),
  },
  {
    name: "ensureDetached",
    before: (rack) => {
      owned(rack);
      networks(rack).set("vlan/native", "prov");
    },
    run: (hil, signal) => hil.ensureDetached(attachment("prov"), signal),
    isDone: (rack) => networks(rack).size === 0,
  },
];

const faults: (Omit<Fault, "call" | "after"> & { expected?: ErrorCode[] })[] = [
  { answer: "cut" },
  { answer: "cut", done: true },
  { answer: "html-500" },
  { answer: "html-500", done: true },
  { answer: "hang", done: true },
  { answer: "garbage", done: true },
  { answer: "garbage" },
  { answer: "conflict", expected: ["CONFLICT"] },
  { answer: "unauthorized", expected: ["UNAUTHENTICATED"] },
  { answer: "cut", always: true, expected: ["UNAVAILABLE"] },
  { answer: "cut", done: true, always: true, expected: ["UNAVAILABLE"] },
  { answer: "html-500", done: true, always: true, expected: ["DRIVER_FAILED"] },
];

const run = async ({ run }: Verb, rack: HilRack) => {
  const client = new HilClient(rack.account, { callSeconds: 0.5 });
  const hil = new HilIsolator(client, { actionSeconds: 20, pollMs: 2 });
  return await run(hil, AbortSignal.timeout(30_000)).catch((error) => error);
};

async function withRack<T>(verb: Verb, use: (rack: HilRack) => Promise<T>): Promise<T> {
  const rack = await startHilRack({ nodes: 1, daemonMs: 2 });
  try {
    verb.before(rack);
    return await use(rack);
  } finally {
    await rack.stop();
  }
}

describe.each(verbs)("$name", (verb) => {
  it("meets each fault at each of its calls, and leaves nothing unsaid", async () => {
    const calls = await withRack(verb, async (rack) => {
      await run(verb, rack);
      expect(verb.isDone(rack)).toBe(true);
      return rack.hil.seen.length;
    });
    expect(calls).toBeGreaterThan(0);
    const atOnce = pLimit(6);
    const cases = faults.flatMap((fault) => Array.from({ length: calls }, (_, after) => ({ fault, after })));
    await atOnce.map(cases, ({ fault, after }) => withRack(verb, (rack) => meet(verb, rack, fault, after)));
  });
});

async function meet(verb: Verb, rack: HilRack, { expected, ...fault }: (typeof faults)[number], after: number) {
  const told = `${JSON.stringify(fault)} at call ${after}`;
  rack.hil.faults.add({ ...fault, after });
  const outcome = await run(verb, rack);
  if (!isApplianceError(outcome)) expect(verb.isDone(rack), told).toBe(true);
  else {
    expect(expected, `${told}: ${outcome.message}`).toContain(outcome.code);
    expect(outcome.details, told).toMatchObject({ driver: "hil" });
    if (verb.name.startsWith("ensureAttached") || verb.name === "ensureDetached") saysWhatHolds(rack, outcome, told);
  }
  rack.hil.faults.clear();
  const again = await run(verb, rack);
  expect(isApplianceError(again), `${told}, done again: ${again}`).toBe(false);
  expect(verb.isDone(rack), `${told}, done again`).toBe(true);
}

/** What is said of the NIC is so, unless it is said that this is not known, or that something is under way. */
function saysWhatHolds(rack: HilRack, { details }: { details: Record<string, unknown> }, told: string): void {
  expect(details, told).toMatchObject({ node: "n1", nic: "eth0" });
  if (details.holds === "unknown" || details.pending !== undefined) return;
  const said = (details.holds as { network: string }[]).map(({ network }) => network);
  expect(said, told).toEqual([...networks(rack).values()]);
}

describe("a HIL that is restarted", () => {
  it.each(verbs)("while $name waits is no harm", async (verb) => {
    await withRack(verb, async (rack) => {
      rack.hil.faults.add({ after: 1, answer: "delay", delayMs: 5, done: true, meanwhile: () => rack.hil.restart() });
      const outcome = await run(verb, rack);
      expect(isApplianceError(outcome), String(outcome)).toBe(false);
      expect(verb.isDone(rack)).toBe(true);
    });
  });
});

describe("a networking daemon that dies", () => {
  it("leaves what it has not done, until it is back", async () => {
    const verb = verbs.find(({ name }) => name === "ensureAttached")!;
    await withRack(verb, async (rack) => {
      rack.hil.daemon.stop();
      const attached = run(verb, rack);
      await expect.poll(() => rack.hil.seen.some(({ path }) => path.includes("networking_action"))).toBe(true);
      expect(verb.isDone(rack)).toBe(false);
      rack.hil.daemon.start(2);
      expect(await attached).toBeUndefined();
      expect(verb.isDone(rack)).toBe(true);
    });
  });
});
