import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OvsIsolator } from "../../src/drivers/isolation/ovs.ts";
import { Ovsdb } from "../../src/drivers/isolation/ovsdb.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { OpenVswitch } from "../lab/open-vswitch.ts";
import { runProgram } from "../lab/program.ts";
import { Namespaces } from "./namespaces.ts";

/** Real packets through a real Open vSwitch: who reaches whom, and what happens when a part of it is away. */

const directory = join(tmpdir(), "ingot-ovs-isolation");
const TLS_PORT = 26_640;
const signal = () => AbortSignal.timeout(30_000);
const HOSTS = ["red1", "red2", "blue", "boot"] as const;
type Host = (typeof HOSTS)[number];
const namespaceOf = (host: string) => `ovs-${host}`;
const addressOf = (host: Host) => `10.77.0.${HOSTS.indexOf(host) + 1}`;
const CROWD = Array.from({ length: 24 }, (_, index) => `crowd${index}`);

let spaces: Namespaces;
let ovs: OpenVswitch;
let local: Ovsdb;
let remote: Ovsdb;

const certificate = (name: string) => ({
  key: join(directory, `${name}.key`),
  certificate: join(directory, `${name}.pem`),
});

function makeCertificate(name: string): void {
  const { key, certificate: file } = certificate(name);
  const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", [...words, "-subj", `/CN=${name}`, "-keyout", key, "-out", file], { stdio: "ignore" });
}

function overTls(name: string): Ovsdb {
  const own = certificate(name);
  const read = (path: string) => readFileSync(path, "utf8");
  const tls = { ca: read(certificate("switch").certificate), certificate: read(own.certificate), key: read(own.key) };
  return new Ovsdb({ address: { host: "127.0.0.1", port: TLS_PORT, tls } });
}

function isolator(ovsdb: Ovsdb, applySeconds = 10): OvsIsolator {
  const nodes = Object.fromEntries([...HOSTS, ...CROWD].map((name) => [name, [{ nic: `p-${name}` }]]));
  return new OvsIsolator({ ovsdb, bridge: "rack", vlans: { first: 100, last: 199 }, nodes: () => nodes, applySeconds });
}

async function amissAt(of: OvsIsolator, networks: { name: string; vlan: number }[] = []): Promise<string[]> {
  const remarks = await of.inspect({ networks, projects: [] }, signal());
  return remarks.flatMap(({ subject, message, remedy }) => (remedy === undefined ? [] : [`${subject}: ${message}`]));
}

beforeAll(async () => {
  await destroyEverything(directory);
  mkdirSync(directory, { recursive: true });
  for (const name of ["switch", "appliance", "stranger"]) makeCertificate(name);
  spaces = new Namespaces("ovs-switch", ...HOSTS.map(namespaceOf));
  const tls = { port: TLS_PORT, ca: certificate("appliance").certificate, ...certificate("switch") };
  ovs = new OpenVswitch({ stateDirectory: directory, namespace: "ovs-switch", tls });
  await ovs.start();
  await ovs.vsctl("add-br", "rack", "--", "set", "bridge", "rack", "datapath_type=netdev");
  for (const host of HOSTS) {
    const end = { namespace: namespaceOf(host), interface: "e0", addresses: [`${addressOf(host)}/24`] };
    spaces.cable({ namespace: "ovs-switch", interface: `p-${host}` }, end);
    // Nobody completes checksums that the kernel left to a network card.
    spaces.run("ovs-switch", ["ethtool", "-K", `p-${host}`, "tx", "off"]);
    spaces.run(namespaceOf(host), ["ethtool", "-K", "e0", "tx", "off"]);
    await ovs.vsctl("add-port", "rack", `p-${host}`);
  }
  for (const name of CROWD)
    await ovs.vsctl("add-port", "rack", `p-${name}`, "--", "set", "interface", `p-${name}`, "type=internal");
  local = new Ovsdb({ address: { socket: ovs.socket } });
  remote = overTls("appliance");
});

afterAll(async () => {
  await local?.close();
  await remote?.close();
  await destroyEverything(directory);
  await spaces?.remove();
});

async function reaches(from: Host, to: Host): Promise<boolean> {
  const ping = ["busybox", "ping", "-c", "2", "-W", "1", "-q", addressOf(to)];
  return await runProgram("ip", ["netns", "exec", namespaceOf(from), ...ping]).then(
    () => true,
    () => false,
  );
}

/** Pairs that reach each other, as "a-b". */
async function reached(): Promise<string[]> {
  const pairs = HOSTS.flatMap((from, index) => HOSTS.slice(index + 1).map((to) => [from, to] as const));
  const answers = await Promise.all(
    pairs.map(async ([from, to]) => ((await reaches(from, to)) ? [`${from}-${to}`] : [])),
  );
  return answers.flat();
}
const expectReached = (pairs: string[]) => expect.poll(reached, { timeout: 30_000, interval: 100 }).toEqual(pairs);
const on = (node: string, network: string, channel: "native" | "tagged" = "native") => ({
  node,
  nic: `p-${node}`,
  network,
  channel,
});

describe.each([
  ["its unix socket", () => local],
  ["TLS", () => remote],
])("isolation by Open vSwitch, over %s", (_name, ovsdb) => {
  it("lets those reach each other that are in one network, and nobody else", async () => {
    const ours = isolator(ovsdb());
    const owners = [["red1", "red"], ["red2", "red"], ["blue", "blue"], ["boot", "rack"]] as const; // biome-ignore format: a table
    for (const [node, project] of owners) await ours.allocate(node, project, signal());
    await expectReached([]);
    await ours.ensureNetwork({ name: "red", project: "red" }, signal());
    await ours.ensureNetwork({ name: "blue", project: "blue" }, signal());
    await ours.ensureNetwork({ name: "boot" }, signal());
    await ours.ensureAttached(on("boot", "boot"), signal());
    await ours.ensureAttached(on("red1", "boot"), signal());
    await expectReached(["red1-boot"]);
    await ours.ensureAttached(on("red1", "red"), signal());
    await ours.ensureAttached(on("red2", "red"), signal());
    await ours.ensureAttached(on("blue", "blue"), signal());
    await expectReached(["red1-red2"]);
    await ours.ensureAttached(on("boot", "boot", "tagged"), signal());
    await ours.ensureAttached(on("blue", "boot"), signal());
    // Tagged is not for those who don't tag.
    await expectReached(["red1-red2"]);
    for (const [node, project] of owners) {
      for (const network of ["red", "blue", "boot"]) await ours.ensureDetached(on(node, network), signal());
      await ours.free(node, project, signal());
    }
    await expectReached([]);
    for (const network of ["red", "blue", "boot"]) await ours.removeNetwork(network, signal());
    const ended = (await ours.nodes(signal())).filter(({ name }) => !CROWD.includes(name));
    expect(ended.flatMap(({ nics }) => nics).flatMap(({ networks }) => networks)).toEqual([]);
  });
});

it("tells of a node also when a port of it is missing", async () => {
  const nodes = { red1: [{ nic: "p-red1" }, { nic: "p-gone" }] };
  const vlans = { first: 100, last: 199 };
  const ours = new OvsIsolator({ ovsdb: local, bridge: "rack", vlans, nodes: () => nodes });
  expect(await ours.nodes(signal())).toMatchObject([{ name: "red1", nics: [{ name: "p-red1" }] }]);
  await expect(ours.node("red1", signal())).rejects.toMatchObject({ code: "NOT_FOUND", details: { nic: "p-gone" } });
});

it("takes a NIC out of what somebody put its port into by hand", async () => {
  const ours = isolator(local);
  const networks = async () => (await ours.node("red1", signal())).nics.flatMap((nic) => nic.networks);
  for (const [columns, network] of [
    [["vlan_mode=access", "tag=555"], "vlan/555"],
    [["vlan_mode=trunk", "tag=556", "trunks=556"], "vlan/556"],
    [["vlan_mode=trunk", "tag=[]", "trunks=[]", "protected=false"], "every VLAN"],
  ] as const) {
    await ovs.vsctl("set", "port", "p-red1", ...columns);
    const [found] = await networks();
    expect(found).toMatchObject({ network });
    await ours.ensureDetached({ node: "red1", nic: "p-red1", ...found! }, signal());
    expect(await networks()).toEqual([]);
  }
  await expectReached([]);
});

it("makes and removes networks beside a port that leads their VLANs on to another switch", async () => {
  const ours = isolator(local);
  const made = { name: "red", project: "red" };
  await ovs.vsctl("add-port", "rack", "uplink", "vlan_mode=trunk", "trunks=100,101,102,103,104,105,106,107,108,109");
  await ovs.vsctl("set", "interface", "uplink", "type=internal");
  await ovs.vsctl("set", "port", "p-blue", "vlan_mode=access", "tag=100", "trunks=[]", "protected=false");
  try {
    // what some port has untagged is taken, whoever put it there
    expect(await ours.ensureNetwork(made, signal())).toEqual({ vlan: 101 });
    await ours.allocate("red1", "red", signal());
    await ours.ensureAttached(on("red1", "red", "tagged"), signal());
    await expect(ours.removeNetwork("red", signal())).rejects.toMatchObject({
      ...{ code: "CONFLICT", details: { attached: ["p-red1"] } },
    });
    await ours.ensureDetached(on("red1", "red"), signal());
    await ours.free("red1", "red", signal());
    await ours.removeNetwork("red", signal());
  } finally {
    await ovs.vsctl("del-port", "rack", "uplink");
    await ours.ensureDetached(on("blue", "vlan/100"), signal());
  }
});

it("refuses those whose certificate the switch does not know", async () => {
  const stranger = overTls("stranger");
  const refused = stranger.databases(signal());
  await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/UNAUTHENTICATED|UNAVAILABLE/) });
  await stranger.close();
});

it("says what is amiss with bridge, networks and ports, and whether ovs-vswitchd runs", async () => {
  const ours = isolator(local);
  expect(await amissAt(ours)).toEqual([]);
  // whoever asks for the lock does not keep it
  expect(await local.isLocked("nobody_has_it", signal())).toBe(false);
  expect(await remote.isLocked("nobody_has_it", signal())).toBe(false);
  await ours.ensureNetwork({ name: "red", vlan: 30 }, signal());
  expect(
    await amissAt(ours, [
      { name: "red", vlan: 31 },
      { name: "new", vlan: 32 },
    ]),
  ).toEqual(["network red: is VLAN 30 there, not 31"]);
  await ours.removeNetwork("red", signal());
  const nodes = () => ({ red1: [{ nic: "p-gone" }] });
  const other = new OvsIsolator({ ovsdb: local, bridge: "rack", vlans: { first: 100, last: 199 }, nodes });
  expect(await amissAt(other)).toEqual(["port p-gone: is not on bridge rack; node red1 is said to be cabled to it"]);
});

it("says that the switch does not take a change, and does it once it is back", async () => {
  const ours = isolator(local, 2);
  await ours.allocate("red1", "red", signal());
  await ours.ensureNetwork({ name: "red", project: "red" }, signal());
  await ovs.stop("ovs-vswitchd");
  try {
    const failure = { code: "TIMEOUT", message: expect.stringContaining("ovs-vswitchd") };
    await expect(ours.ensureAttached(on("red1", "red"), signal())).rejects.toMatchObject(failure);
    expect(await amissAt(ours)).toEqual(["ovs-vswitchd: does not run: no change reaches the switch"]);
    // The same again is no success only because the database has it.
    await expect(ours.ensureAttached(on("red1", "red"), signal())).rejects.toMatchObject(failure);
  } finally {
    await ovs.startSwitch();
  }
  await isolator(local).ensureAttached(on("red1", "red"), signal());
  await isolator(local).ensureDetached(on("red1", "red"), signal());
  await isolator(local).free("red1", "red", signal());
  await isolator(local).removeNetwork("red", signal());
});

it("finds its records again after ovsdb-server was away, and says while it is", async () => {
  const ours = isolator(local);
  await ours.allocate("red1", "red", signal());
  await ovs.stop("ovsdb-server");
  try {
    await expect(ours.node("red1", signal())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  } finally {
    await ovs.startDatabase();
    await ovs.vsctl("list-br");
  }
  expect((await ours.node("red1", signal())).project).toBe("red");
  await ours.free("red1", "red", signal());
});

it("loses nothing when two appliances write at once, and attaches 24 NICs at once", async () => {
  const [one, other] = [isolator(local), isolator(remote)];
  const names = CROWD.map((name) => `net-${name}`);
  const made = await Promise.all(names.map((name, i) => (i % 2 ? one : other).ensureNetwork({ name }, signal())));
  expect(new Set(made.map(({ vlan }) => vlan)).size).toBe(24);
  const given = await Promise.allSettled(
    ["red", "blue"].map((who, i) => [one, other][i]!.allocate("crowd0", who, signal())),
  );
  expect(given.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
  await one.free("crowd0", given[0]!.status === "fulfilled" ? "red" : "blue", signal());
  await Promise.all(CROWD.map((node) => one.allocate(node, "red", signal())));
  const started = performance.now();
  await Promise.all(CROWD.map((node) => one.ensureAttached(on(node, `net-${node}`), signal())));
  console.log(`24 NICs attached in ${Math.round(performance.now() - started)} ms`);
  for (const node of CROWD) {
    const { nics } = await other.node(node, signal());
    expect(nics[0]?.networks).toEqual([{ network: `net-${node}`, channel: "native" }]);
  }
});
