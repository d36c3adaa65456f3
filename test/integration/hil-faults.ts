import pLimit from "p-limit";
import { describe, expect, it } from "vitest";
import type { Appliance } from "../../src/operations/appliance.ts";
import { deprovision } from "../../src/operations/deprovision.ts";
import { importImage } from "../../src/operations/import-image.ts";
import type { OperationRecord } from "../../src/operations/operation.ts";
import { provision } from "../../src/operations/provision.ts";
import type { Fault } from "../fakes/hil/faults.ts";
import { agreesWithHil, HilWorld, nodeInHil } from "../unit/operations/hil-world.ts";
import { done } from "../unit/operations/prove-procedures.ts";

/**
 * Whole operations behind HIL, with each fault at each call that they make to HIL and to OBMd: each ends done, undone, or
 * stuck with its reason until the fault is gone; then records, targets, HIL and OBMd agree, and nothing is left attached.
 */

/** An operation, or several at once, of nodes of HIL. */
export type Scenario = {
  name: string;
  nodes: string[];
  /** Only faults after which those of other nodes may be in each other's way; each node by itself is proven alone. */
  isBatch?: true;
  prepare: (appliance: Appliance) => Promise<void>;
  begin: (appliance: Appliance) => Promise<OperationRecord>[];
};

const fromImage = (appliance: Appliance, node: string) => provision(appliance, { node, image: "golden" }, "test");
const release = (appliance: Appliance, node: string) =>
  deprovision(appliance, { node, disk: "delete", now: true }, "test");
const each =
  (nodes: string[], begin: (appliance: Appliance, node: string) => Promise<unknown>) =>
  async (appliance: Appliance) => {
    for (const node of nodes) await begin(appliance, node);
  };
const provisioned = (appliance: Appliance, node: string) => done(appliance, fromImage(appliance, node));
const BATCH = ["node-1", "node-2", "node-3"];

/** Each ends in a minute or two: the first two in every run, all of them in the long one. */
export const SCENARIOS: Scenario[] = [
  {
    name: "provision",
    nodes: ["node-1"],
    prepare: async () => {},
    begin: (appliance) => [fromImage(appliance, "node-1")],
  },
  {
    name: "deprovision",
    nodes: ["node-1"],
    prepare: each(["node-1"], provisioned),
    begin: (appliance) => [release(appliance, "node-1")],
  },
  {
    name: "provision with the disk of another node",
    nodes: ["node-1", "node-2"],
    prepare: each(["node-1"], provisioned),
    begin: (appliance) => [provision(appliance, { node: "node-2", disk: "node-1-1", forceOff: true }, "test")],
  },
  {
    name: "provision of a batch",
    nodes: BATCH,
    isBatch: true,
    prepare: async () => {},
    begin: (appliance) => BATCH.map((node) => fromImage(appliance, node)),
  },
  {
    name: "deprovision of a batch",
    nodes: BATCH,
    isBatch: true,
    prepare: each(BATCH, provisioned),
    begin: (appliance) => BATCH.map((node) => release(appliance, node)),
  },
];

type Injected = {
  name: string;
  fault: Partial<Fault>;
  /** Something that happens with that call, rather than an answer that goes wrong. */
  meanwhile?: (world: HilWorld) => void;
  /** Whether it is met by batches too. */
  inBatches?: true;
  /** What ends it, where that is more than that calls are answered again. */
  mend?: (world: HilWorld) => void;
};

const atHil: Injected[] = [
  { name: "the connection breaks", fault: { answer: "cut" } },
  { name: "the connection breaks after the deed", fault: { answer: "cut", done: true } },
  { name: "HIL is down from there on", fault: { answer: "cut", always: true } },
  {
    name: "HIL is down from there on, after the deed",
    inBatches: true,
    fault: { answer: "cut", done: true, always: true },
  },
  { name: "500", fault: { answer: "html-500" } },
  { name: "500 after the deed", inBatches: true, fault: { answer: "html-500", done: true } },
  { name: "500 from there on", fault: { answer: "html-500", always: true } },
  { name: "no answer in time", fault: { answer: "hang", done: true } },
  { name: "garbage", fault: { answer: "garbage", done: true } },
  { name: "409", fault: { answer: "conflict" } },
  { name: "401", fault: { answer: "unauthorized" } },
  {
    name: "HIL restarts",
    inBatches: true,
    fault: { answer: "delay", done: true },
    meanwhile: ({ rack }) => rack.hil.restart(),
  },
  {
    name: "OBMd restarts, and forgets its tokens",
    inBatches: true,
    fault: { answer: "delay", done: true },
    meanwhile: ({ rack }) => rack.obmd.restart(),
  },
  {
    name: "the networking daemon dies",
    inBatches: true,
    fault: { answer: "delay" },
    meanwhile: ({ rack }) => rack.hil.daemon.stop(),
    mend: ({ rack }) => rack.hil.daemon.start(2),
  },
  {
    name: "the switch refuses from there on",
    fault: { answer: "delay" },
    meanwhile: ({ rack }) => {
      rack.hil.daemon.refuses = () => true;
    },
    mend: ({ rack }) => {
      rack.hil.daemon.refuses = () => false;
    },
  },
];

const atObmd: Injected[] = [
  { name: "the connection breaks", fault: { answer: "cut" } },
  { name: "the connection breaks after the deed", fault: { answer: "cut", done: true } },
  { name: "OBMd is down from there on", fault: { answer: "cut", always: true } },
  { name: "500 after the deed", inBatches: true, fault: { answer: "html-500", done: true } },
  { name: "no answer in time", fault: { answer: "hang", done: true } },
  { name: "its token is dead", inBatches: true, fault: { answer: "unauthorized" } },
  { name: "its tokens are dead from there on", fault: { answer: "unauthorized", always: true } },
];

async function withWorld<T>(scenario: Scenario, use: (appliance: Appliance, world: HilWorld) => Promise<T>) {
  const world = await HilWorld.make(scenario.nodes);
  try {
    const appliance = await world.start();
    for (const [index, name] of scenario.nodes.entries()) await appliance.nodes.add(nodeInHil(name, index + 1), "test");
    const golden = { name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true } as const;
    await done(appliance, importImage(appliance, { project: "default", ...golden }, "test"));
    await scenario.prepare(appliance);
    return await use(appliance, world);
  } finally {
    await world.end();
  }
}

/** How many calls HIL and OBMd get when all is well. */
function callsOf(scenario: Scenario): Promise<{ hil: number; obmd: number }> {
  return withWorld(scenario, async (appliance, world) => {
    const { hil, obmd } = world.rack;
    const before = { hil: hil.seen.length, obmd: obmd.seen.length };
    await Promise.all(scenario.begin(appliance).map((beginning) => done(appliance, beginning)));
    agreesWithHil(appliance, world, "without a fault");
    return { hil: hil.seen.length - before.hil, obmd: obmd.seen.length - before.obmd };
  });
}

function meet(scenario: Scenario, server: "hil" | "obmd", injected: Injected, after: number): Promise<void> {
  const told = `${injected.name} at call ${after + 1} of ${server}`;
  return withWorld(scenario, async (appliance, world) => {
    const { faults } = world.rack[server];
    const { meanwhile } = injected;
    faults.add({ answer: "cut", ...injected.fault, after, ...(meanwhile && { meanwhile: () => meanwhile(world) }) });
    const mend = () => {
      faults.clear();
      injected.mend?.(world);
    };
    const begun = await Promise.all(scenario.begin(appliance));
    await Promise.all(begun.map(({ id }) => endOf(appliance, id, mend, told)));
    mend();
    agreesWithHil(appliance, world, told);
  });
}

/** Drives an operation to its end. It may wait for the fault to go, but says so; stuck, it says why, and goes on when told. */
async function endOf(appliance: Appliance, id: string, mend: () => void, told: string): Promise<void> {
  const { runner } = appliance;
  let ended = false;
  const settled = runner.settled(id).then((operation) => {
    ended = true;
    return operation;
  });
  await expect.poll(() => ended || runner.waitingFor(id) !== undefined, { timeout: 30_000, interval: 2 }).toBe(true);
  if (!ended) {
    expect(runner.waitingFor(id)?.details, told).toMatchObject({ outage: true, driver: "hil" });
    mend();
  }
  let operation = await settled;
  if (operation.state === "stuck") {
    const reason = operation.steps.find(({ state }) => state === "failed")?.error;
    expect(reason?.message, told).toMatch(/./);
    expect(reason?.details.remedy ?? reason?.details.hilError, `${told}: ${JSON.stringify(reason)}`).toBeDefined();
    mend();
    await runner.retry(id);
    operation = await runner.settled(id);
  }
  expect(["done", "undone"], `${told}: ${JSON.stringify(operation)}`).toContain(operation.state);
}

/** The tests of these. */
export function meetEachFault(scenarios: Scenario[]): void {
  describe.each(scenarios)("$name behind HIL", (scenario) => {
    it("meets each fault at each call to HIL and OBMd, and leaves nothing attached", async () => {
      const calls = await callsOf(scenario);
      const atOnce = pLimit(8);
      const met = ({ inBatches }: Injected) => inBatches || !scenario.isBatch;
      const cases = [
        ...atHil
          .filter(met)
          .flatMap((injected) => Array.from({ length: calls.hil }, (_, at) => ["hil", injected, at] as const)),
        ...atObmd
          .filter(met)
          .flatMap((injected) => Array.from({ length: calls.obmd }, (_, at) => ["obmd", injected, at] as const)),
      ];
      await atOnce.map(cases, ([server, injected, after]) => meet(scenario, server, injected, after));
    }, 600_000);
  });
}
