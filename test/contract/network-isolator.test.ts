import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { HilIsolator } from "../../src/drivers/isolation/hil.ts";
import { HilClient } from "../../src/drivers/isolation/hil-client.ts";
import type { Attachment, NetworkIsolator } from "../../src/drivers/isolation/network-isolator.ts";
import { NoIsolator } from "../../src/drivers/isolation/none.ts";
import { OvsIsolator } from "../../src/drivers/isolation/ovs.ts";
import { Ovsdb } from "../../src/drivers/isolation/ovsdb.ts";
import { startHilRack } from "../fakes/hil/rack.ts";
import { MemoryIsolator } from "../fakes/memory-isolator.ts";
import { Namespaces } from "../integration/namespaces.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { OpenVswitch } from "../lab/open-vswitch.ts";

/** What every NetworkIsolator must do. Each is made anew with projects red and blue, and nodes that nobody has. */

const signal = () => AbortSignal.timeout(30_000);
const NODES = { n1: ["n1-a", "n1-b"], n2: ["n2-a"] };

const directory = join(tmpdir(), "ingot-isolator-contract");
let spaces: Namespaces;
let ovs: OpenVswitch;
let ovsdb: Ovsdb;

beforeAll(async () => {
  await destroyEverything(directory);
  spaces = new Namespaces("ovs-contract");
  ovs = new OpenVswitch({ stateDirectory: directory, namespace: "ovs-contract" });
  await ovs.start();
  ovsdb = new Ovsdb({ address: { socket: ovs.socket } });
});

afterAll(async () => {
  await ovsdb?.close();
  await destroyEverything(directory);
  await spaces?.remove();
});

async function ovsSubject(): Promise<NetworkIsolator> {
  await ovs.vsctl("--if-exists", "del-br", "rack");
  await ovs.vsctl("add-br", "rack", "--", "set", "bridge", "rack", "datapath_type=netdev");
  // As an installer leaves them: closed.
  for (const port of Object.values(NODES).flat()) {
    const closed = ["vlan_mode=trunk", "trunks=4095", "protected=true"];
    const internal = ["--", "set", "interface", port, "type=internal"];
    await ovs.vsctl("add-port", "rack", port, ...closed, ...internal);
  }
  const cabled = Object.entries(NODES).map(([name, nics]) => [name, nics.map((nic) => ({ nic }))]);
  return new OvsIsolator({
    ovsdb,
    bridge: "rack",
    vlans: { first: 100, last: 199 },
    nodes: () => Object.fromEntries(cabled),
  });
}

const implementations: [name: string, make: () => Promise<NetworkIsolator>][] = [
  ["the fake", async () => new MemoryIsolator(NODES)],
  ["hil", () => overHil()],
  ["Open vSwitch", ovsSubject],
];

/** HIL's double, whose networking daemon looks more often than the real one. */
async function overHil(): Promise<NetworkIsolator> {
  const rack = await startHilRack({ nodes: NODES, daemonMs: 5 });
  onTestFinished(() => rack.stop());
  return new HilIsolator(new HilClient(rack.account), { actionSeconds: 20, pollMs: 5 });
}

const on = (network: string, channel: Attachment["channel"] = "native", nic = "n1-a"): Attachment => ({
  node: nic.slice(0, 2),
  nic,
  network,
  channel,
});

describe.each(implementations)("network isolator: %s", (_name, make) => {
  let isolator: NetworkIsolator;
  beforeEach(async () => {
    isolator = await make();
  });
  const twice = async (act: () => Promise<unknown>) => {
    await act();
    await act();
  };
  const networksOf = async (nic: string) =>
    (await isolator.node(nic.slice(0, 2), signal())).nics
      .find(({ name }) => name === nic)!
      .networks.toSorted((a, b) => a.network.localeCompare(b.network));

  it("knows its nodes and their NICs, and no others", async () => {
    const nodes = await isolator.nodes(signal());
    expect(nodes.map(({ name, nics }) => [name, nics.map((nic) => nic.name)]).toSorted()).toEqual(
      Object.entries(NODES),
    );
    expect(await isolator.node("n2", signal())).toMatchObject({ name: "n2", nics: [{ name: "n2-a", networks: [] }] });
    await expect(isolator.node("n9", signal())).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(isolator.allocate("n9", "red", signal())).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("gives a node to one project at a time", async () => {
    await twice(() => isolator.allocate("n1", "red", signal()));
    await expect(isolator.allocate("n1", "blue", signal())).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(isolator.free("n1", "blue", signal())).rejects.toMatchObject({ code: "CONFLICT" });
    expect((await isolator.node("n1", signal())).project).toBe("red");
    await twice(() => isolator.free("n1", "red", signal()));
    expect((await isolator.node("n1", signal())).project).toBeUndefined();
    await isolator.allocate("n1", "blue", signal());
    expect((await isolator.node("n1", signal())).project).toBe("blue");
  });

  it("makes networks, each with a VLAN of its own, and removes them", async () => {
    const first = await isolator.ensureNetwork({ name: "one", project: "red" }, signal());
    expect(await isolator.ensureNetwork({ name: "one", project: "red" }, signal())).toEqual(first);
    expect((await isolator.ensureNetwork({ name: "two", project: "blue" }, signal())).vlan).not.toBe(first.vlan);
    await expect(isolator.ensureNetwork({ name: "one", project: "blue" }, signal())).rejects.toMatchObject({
      code: "EXISTS",
    });
    await twice(() => isolator.removeNetwork("one", signal()));
    await isolator.ensureNetwork({ name: "one", project: "blue" }, signal());
  });

  it("lets other projects attach to a network, as long as none of their NICs is in it", async () => {
    await isolator.ensureNetwork({ name: "one", project: "red" }, signal());
    await isolator.allocate("n1", "blue", signal());
    const attach = () => isolator.ensureAttached(on("one"), signal());
    await expect(attach()).rejects.toMatchObject({ code: expect.stringMatching(/CONFLICT|FORBIDDEN/) });
    await twice(() => isolator.ensureAccess("one", ["red", "blue"], signal()));
    await attach();
    await expect(isolator.ensureAccess("one", ["red"], signal())).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await isolator.ensureNetwork({ name: "one", project: "red" }, signal())).toBeDefined();
    await isolator.ensureDetached(on("one"), signal());
    await twice(() => isolator.ensureAccess("one", ["red"], signal()));
    await expect(attach()).rejects.toMatchObject({ code: expect.stringMatching(/CONFLICT|FORBIDDEN/) });
    await expect(isolator.ensureAccess("none", ["blue"], signal())).rejects.toMatchObject({ code: "NOT_FOUND" });
    await isolator.removeNetwork("one", signal());
    await isolator.ensureNetwork({ name: "one", project: "red" }, signal());
    await expect(attach()).rejects.toMatchObject({ code: expect.stringMatching(/CONFLICT|FORBIDDEN/) });
  });

  it("lets others into a network whose VLAN was asked for, and keeps it for who it was made for", async () => {
    await isolator.ensureNetwork({ name: "one", project: "red", vlan: 300 }, signal());
    await isolator.allocate("n1", "red", signal());
    for (const projects of [["red", "blue"], ["red"]]) {
      await twice(() => isolator.ensureAccess("one", projects, signal()));
      await isolator.ensureAttached(on("one"), signal());
    }
  });

  it("puts NICs into networks and out again, native and tagged", async () => {
    await isolator.allocate("n1", "red", signal());
    for (const name of ["one", "two"]) await isolator.ensureNetwork({ name, project: "red" }, signal());
    await isolator.ensureNetwork({ name: "shared" }, signal());
    await twice(() => isolator.ensureAttached(on("one"), signal()));
    expect(await networksOf("n1-a")).toEqual([{ network: "one", channel: "native" }]);
    await twice(() => isolator.ensureAttached(on("shared"), signal()));
    expect(await networksOf("n1-a")).toEqual([{ network: "shared", channel: "native" }]);
    await twice(() => isolator.ensureAttached(on("two", "tagged"), signal()));
    expect(await networksOf("n1-a")).toEqual([
      { network: "shared", channel: "native" },
      { network: "two", channel: "tagged" },
    ]);
    await isolator.ensureAttached(on("two"), signal());
    expect(await networksOf("n1-a")).toEqual([{ network: "two", channel: "native" }]);
    expect(await networksOf("n1-b")).toEqual([]);
    await twice(() => isolator.ensureDetached(on("two"), signal()));
    expect(await networksOf("n1-a")).toEqual([]);
  });

  it("neither frees a node nor removes a network while a NIC is in one", async () => {
    await isolator.allocate("n1", "red", signal());
    await isolator.ensureNetwork({ name: "one", project: "red" }, signal());
    await isolator.ensureAttached(on("one"), signal());
    await expect(isolator.free("n1", "red", signal())).rejects.toMatchObject({ code: "CONFLICT" });
    await expect(isolator.removeNetwork("one", signal())).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await networksOf("n1-a")).toEqual([{ network: "one", channel: "native" }]);
    await isolator.ensureDetached(on("one"), signal());
    await isolator.removeNetwork("one", signal());
    await isolator.free("n1", "red", signal());
  });

  it("refuses what is not there", async () => {
    await isolator.allocate("n1", "red", signal());
    await isolator.ensureNetwork({ name: "one", project: "red" }, signal());
    await expect(isolator.ensureAttached(on("none"), signal())).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(isolator.ensureAttached(on("one", "native", "n1-z"), signal())).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
    expect(await networksOf("n1-a")).toEqual([]);
  });

  it("keeps a network from other projects, and from nodes that nobody has", async () => {
    await isolator.ensureNetwork({ name: "one", project: "red" }, signal());
    await isolator.allocate("n2", "blue", signal());
    for (const nic of ["n1-a", "n2-a"]) {
      await expect(isolator.ensureAttached(on("one", "native", nic), signal())).rejects.toMatchObject({
        code: "CONFLICT",
      });
      expect(await networksOf(nic)).toEqual([]);
    }
  });
});

describe("an appliance without isolator", () => {
  const isolator = new NoIsolator();

  it("says that it separates nobody, and how to get that", async () => {
    const unsupported = { code: "UNSUPPORTED", details: { remedy: expect.stringContaining("isolation") } };
    await expect(isolator.ensureNetwork({ name: "one" })).rejects.toMatchObject(unsupported);
    await expect(isolator.ensureAttached(on("one"))).rejects.toMatchObject(unsupported);
  });

  it("lets nodes be given and freed, which needs no switch", async () => {
    await isolator.allocate();
    expect(await isolator.node("n1")).toEqual({ name: "n1", nics: [] });
    await isolator.ensureDetached();
    await isolator.removeNetwork();
    await isolator.free();
  });
});
