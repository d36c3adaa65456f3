import { afterEach, beforeEach, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { cableNode } from "../../../src/operations/cable-node.ts";
import { compareNodes } from "../../../src/operations/compare-nodes.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { findDrift } from "../../../src/operations/drift.ts";
import { lookForDrift } from "../../../src/operations/drift-watch.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { attachNetwork } from "../../../src/operations/network-membership.ts";
import { provision } from "../../../src/operations/provision.ts";
import { reconcile } from "../../../src/operations/reconcile.ts";
import type { Repair } from "../../../src/operations/repairs.ts";
import { createNetwork, shareNetwork } from "../../../src/operations/tenant-network.ts";
import { MemoryPower } from "../../fakes/memory-power.ts";
import { done, proveProcedures } from "./prove-procedures.ts";
import { isolatedAsRecorded, newNode, nothingLeftBehind, settled, World } from "./world.ts";

const project = "default";
const NIC = { node: "node-1", nic: "port-1" };

async function prepare(appliance: Appliance): Promise<void> {
  await appliance.nodes.add(newNode("node-1", 1), "test");
  await appliance.nodes.add(newNode("node-2", 2), "test");
  const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: false } as const;
  await done(appliance, importImage(appliance, golden, "test"));
  await done(appliance, provision(appliance, { node: "node-1", image: "golden" }, "test"));
  await appliance.mirror.catchUp(new AbortController().signal);
}

const isolated = (world: World) => {
  world.isolated = true;
};

/** As somebody does who works on the switch by hand. */
async function tamper({ isolator }: World): Promise<void> {
  await isolator.ensureNetwork({ name: "elsewhere" });
  await isolator.ensureAttached({ ...NIC, network: "elsewhere", channel: "native" });
  await isolator.allocate("node-2", "strangers");
  await isolator.ensureAttached({ node: "node-2", nic: "port-2", network: "prov", channel: "native" });
}

let world: World;
let appliance: Appliance;
let broken: string | undefined;
beforeEach(async () => {
  broken = undefined;
  world = new World();
  world.isolated = true;
  appliance = await world.start({
    before: (verb) => {
      if (verb === broken) throw new ApplianceError("UNAVAILABLE", "nobody answers");
    },
  });
  await prepare(appliance);
});
afterEach(() => world.end());

const found = async () =>
  (await findDrift(appliance)).map(({ kind, subject, message }) => `${kind}: ${subject} ${message}`);
const repaired = async (...repair: Repair[]) =>
  (await settled(appliance, await reconcile(appliance, { repair }, "test"))).state;

it("finds nothing where records, isolator, targets and BMCs agree, and tells what each says", async () => {
  expect(await found()).toEqual([]);
  const [one, two] = await compareNodes(appliance, AbortSignal.timeout(5000));
  const networks = [{ nic: "port-1", network: "prov", channel: "native" }];
  expect(one).toMatchObject({
    owner: project,
    networks,
    isolator: { owner: project, networks },
    target: true,
    power: "on",
  });
  expect(two).toMatchObject({ networks: [], isolator: { networks: [] }, target: false, power: "off" });
});

it("names what somebody changed at the switch, and what a repair of each kind does to it", async () => {
  await tamper(world);
  await appliance.powerOf(appliance.nodes.get("node-2")).on(new AbortController().signal);
  expect(await found()).toEqual([
    "networks: node node-1 is in elsewhere at port-1, and is not in prov at port-1",
    "owner: node node-2 ovs has it for strangers; by the records, nobody has it",
    "networks: node node-2 is in prov at port-2",
  ]);
  expect(await repaired("networks")).toBe("done");
  expect(await found()).toEqual(["owner: node node-2 ovs has it for strangers; by the records, nobody has it"]);
  expect(await repaired("owner")).toBe("done");
  expect(await found()).toEqual(["powered: node node-2 is on, and nobody has it"]);
  expect(await repaired("powered")).toBe("done");
  expect(await found()).toEqual([]);
  await isolatedAsRecorded(appliance, world);
});

it("gives a node back to who has it by the records", async () => {
  await world.isolator.ensureDetached({ ...NIC, network: "prov", channel: "native" });
  await world.isolator.free("node-1", project);
  expect(await found()).toHaveLength(2);
  expect(await repaired("owner")).toBe("done");
  expect(await found()).toEqual([]);
});

it.each(["owner", "networks", "powered"] as const)(
  "leaves a node to others who got it since it was shown: %s",
  async (kind) => {
    const { isolator } = world;
    const attachment = { node: "node-2", nic: "port-2", network: "prov", channel: "native" } as const;
    const power = appliance.powerOf(appliance.nodes.get("node-2"));
    await power.on(new AbortController().signal);
    if (kind !== "powered") {
      await isolator.allocate("node-2", "strangers");
      await isolator.ensureAttached(attachment);
    }
    const nodes = isolator.nodes.bind(isolator);
    isolator.nodes = async () => {
      const shown = await nodes();
      isolator.nodes = nodes;
      await isolator.ensureDetached(attachment);
      await isolator.free("node-2", "strangers");
      await isolator.allocate("node-2", "others");
      await isolator.ensureAttached(attachment);
      return shown;
    };
    expect(await repaired(kind)).toBe("done");
    expect(await isolator.node("node-2")).toMatchObject({
      project: "others",
      nics: [{ networks: [{ network: "prov" }] }, { networks: [] }],
    });
    expect(await power.status(new AbortController().signal)).toBe("on");
  },
);

it("tells nobody any more of what it has repaired", async () => {
  await world.isolator.allocate("node-2", "strangers");
  await lookForDrift(appliance);
  expect(appliance.drift.report).toMatchObject({ drifts: [{ kind: "owner" }] });
  expect(await repaired("owner")).toBe("done");
  expect(appliance.drift.report).toMatchObject({ at: expect.any(Number), drifts: [] });
});

it("repairs no more than was shown", async () => {
  for (const name of ["node-2", "node-3"]) await world.isolator.allocate(name, "strangers");
  await appliance.nodes.add(newNode("node-3", 3), "test");
  const [two, three] = await findDrift(appliance);
  await expect(reconcile(appliance, { repair: ["owner"], only: [] }, "test")).rejects.toMatchObject({
    code: "CONFLICT",
  });
  const elsewhere = { ...two!, owner: "others" };
  await expect(reconcile(appliance, { repair: ["owner"], only: [elsewhere] }, "test")).rejects.toMatchObject({
    code: "CONFLICT",
  });
  await done(appliance, reconcile(appliance, { repair: ["owner"], only: [two!] }, "test"));
  expect(await findDrift(appliance)).toEqual([three]);
});

it("asks the BMCs of a rack at a time", async () => {
  const { resolve, promise } = Promise.withResolvers<void>();
  const names = Array.from({ length: 24 }, (_, index) => `more-${index}`);
  for (const [index, name] of names.entries()) await appliance.nodes.add(newNode(name, 16 + index), "test");
  let asked = 0;
  for (const { id } of appliance.nodes.list()) {
    const power = world.power.get(id) ?? new MemoryPower();
    world.power.set(id, power);
    const status = power.status.bind(power);
    power.status = async () => {
      if (++asked === 24) resolve();
      await promise;
      return await status();
    };
  }
  const standings = await compareNodes(appliance, AbortSignal.timeout(5_000));
  expect(standings.map(({ power }) => typeof power)).toEqual(standings.map(() => "string"));
});

it("says who could not be asked, and goes on with the others", async () => {
  await tamper(world);
  broken = "isolator.nodes";
  expect(await found()).toEqual(["unanswered: isolator ovs could not be compared: nobody answers"]);
  broken = "power.status";
  const kinds = (await findDrift(appliance)).map(({ kind, subject }) => `${kind} ${subject}`);
  expect(kinds).toContain("unanswered node node-1");
  expect(kinds).toContain("networks node node-1");
});

it("leaves alone what an operation is at", async () => {
  world.nodesBoot = false;
  await done(appliance, deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test"));
  const { id } = await provision(appliance, { node: "node-1", image: "golden" }, "test");
  await tamper(world).catch(() => {});
  expect((await found()).filter((text) => text.includes("node-1"))).toEqual([]);
  await appliance.runner.cancel(id);
  await settled(appliance, appliance.runner.get(id));
});

it("leaves alone what an operation was at while it asked", async () => {
  const { isolator } = world;
  const nodes = isolator.nodes.bind(isolator);
  let meanwhile: Promise<unknown> | undefined;
  isolator.nodes = async () => {
    const before = await nodes();
    meanwhile ??= done(appliance, deprovision(appliance, { node: "node-1", disk: "keep", now: true }, "test"));
    await meanwhile;
    return before;
  };
  expect(await found()).toEqual([]);
  isolator.nodes = nodes;
  await isolator.allocate("node-1", "strangers");
  expect(await found()).toHaveLength(1);
});

it("leaves alone a node that boots since before nodes were isolated, until it is released", async () => {
  const before = new World();
  try {
    const first = await before.start();
    await prepare(first);
    await first.runner.stop();
    before.crashed.add(first);
    before.isolated = true;
    const freed: string[] = [];
    before.isolator.free = async (name) => void freed.push(name);
    const second = await before.start();
    for (const name of ["node-1", "node-2"]) {
      const ports = [{ mac: second.nodes.get(name).nics[1]!.mac, port: null }];
      await cableNode(second, name, { ports });
    }
    // what closes ports that reach everybody
    expect(freed).toEqual(["node-2"]);
    const known = await before.isolator.nodes();
    const open = { name: "port-1", networks: [{ network: "every VLAN", channel: "tagged" as const }] };
    before.isolator.nodes = async () => known.map((one) => (one.name === "node-1" ? { ...one, nics: [open] } : one));
    expect(await findDrift(second)).toMatchObject([{ kind: "unisolated", subject: "node node-1" }]);
    await done(second, deprovision(second, { node: "node-1", disk: "keep", now: true }, "test"));
    expect(await findDrift(second)).toMatchObject([{ kind: "networks", subject: "node node-1" }]);
  } finally {
    await before.end();
  }
});

it("makes networks again that the isolator has lost", async () => {
  await appliance.projects.add({ name: "blue" }, "test");
  await done(appliance, createNetwork(appliance, { project: "blue", name: "storage" }, "test"));
  const sharing = { project: "blue", network: "storage", projects: [project] };
  await done(
    appliance,
    shareNetwork(appliance, "share", sharing, () => true, "test"),
  );
  const joining = { node: "node-1", nic: "other-1", network: "storage", channel: "native" } as const;
  await done(appliance, attachNetwork(appliance, joining, "test"));
  const { isolator } = world;
  for (const { name: nic, networks } of (await isolator.node("node-1")).nics) {
    for (const one of networks) await isolator.ensureDetached({ node: "node-1", nic, ...one });
  }
  await isolator.free("node-1", project);
  isolator.networks.clear();
  isolator.access.clear();
  expect(await repaired("owner")).toBe("done");
  expect(await found()).toEqual([]);
  await isolatedAsRecorded(appliance, world);
});

proveProcedures(
  {
    "repair of what the isolator has otherwise": {
      prepare: async (one, of) => {
        await prepare(one);
        await tamper(of);
      },
      begin: (one) => reconcile(one, { repair: ["networks", "owner", "powered"] }, "test"),
      check: async (one, of) => {
        nothingLeftBehind(one, of);
        const [repair] = one.runner.list().filter(({ kind }) => kind === "reconcile");
        if (repair?.state === "done") await isolatedAsRecorded(one, of);
      },
    },
  },
  isolated,
);
