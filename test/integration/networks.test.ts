import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NetworkIsolator } from "../../src/drivers/isolation/network-isolator.ts";
import { OvsIsolator } from "../../src/drivers/isolation/ovs.ts";
import { Ovsdb } from "../../src/drivers/isolation/ovsdb.ts";
import { type RunningApi, startApi } from "../../src/http/api/start-api.ts";
import { cablingOf } from "../../src/nodes/cabling.ts";
import { parseMac } from "../../src/values/mac.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { OpenVswitch } from "../lab/open-vswitch.ts";
import { runProgram } from "../lab/program.ts";
import { ApiWorld } from "../unit/http-api/api-world.ts";
import { HilWorld, nodeInHil } from "../unit/operations/hil-world.ts";
import { newNode, World } from "../unit/operations/world.ts";
import { Namespaces } from "./namespaces.ts";
import { until } from "./until.ts";

/** Networks of projects by the command line: with real packets through an Open vSwitch, and with HIL's double. */

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");
const IMPORT = ["--file", "/import/golden.raw", "--format", "raw", "--phones-home"];

/** The command line against an API: what it answered, or how it ended. */
function commandLine(directory: string) {
  const run = async (...args: string[]) => {
    const child = spawn(process.execPath, [main, ...args], {
      env: { PATH: process.env.PATH, INGOT_SOCKET: join(directory, "api.sock") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = new Promise<number | null>((done) => void child.once("close", done));
    const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { code, out, err };
  };
  const ingot = async (project: string, ...args: string[]) => {
    const { code, out, err } = await run("--project", project, ...args);
    expect(code, `ingot ${args.join(" ")}: ${err}`).toBe(0);
    return out;
  };
  return { run, ingot };
}

describe("behind Open vSwitch", () => {
  const directory = join(tmpdir(), "ingot-networks");
  const NODES = ["red-1", "red-2", "blue-1"] as const;
  type Name = (typeof NODES)[number];
  const namespaceOf = (name: string) => `nets-${name}`;
  const host = (name: Name) => NODES.indexOf(name) + 1;
  const dataPort = (name: Name) => `d-${name}`;

  let spaces: Namespaces;
  let ovs: OpenVswitch;
  let ovsdb: Ovsdb;
  let api: RunningApi;
  let atApi: ApiWorld;
  let ingot: ReturnType<typeof commandLine>["ingot"];
  let run: ReturnType<typeof commandLine>["run"];

  class OvsWorld extends World {
    isolatorFor: NetworkIsolator | undefined;
    protected override isolatorOf(): NetworkIsolator {
      return this.isolatorFor as NetworkIsolator;
    }
  }

  beforeAll(async () => {
    await destroyEverything(directory);
    spaces = new Namespaces("nets-switch", ...NODES.map(namespaceOf));
    ovs = new OpenVswitch({ stateDirectory: directory, namespace: "nets-switch" });
    await ovs.start();
    await ovs.vsctl("add-br", "rack", "--", "set", "bridge", "rack", "datapath_type=netdev");
    for (const name of NODES) {
      for (const [port, nic] of [
        [`b-${name}`, "boot0"],
        [dataPort(name), "data0"],
      ] as const) {
        // biome-ignore format: a table
        const addresses = nic === "data0" ? [`10.88.0.${host(name)}/24`] : [];
        const end = { namespace: namespaceOf(name), interface: nic, addresses };
        spaces.cable({ namespace: "nets-switch", interface: port }, end);
        // nobody completes checksums that the kernel left to a network card
        spaces.run("nets-switch", ["ethtool", "-K", port, "tx", "off", "txvlan", "off"]);
        spaces.run(namespaceOf(name), ["ethtool", "-K", nic, "tx", "off", "txvlan", "off"]);
        await ovs.vsctl("add-port", "rack", port);
      }
    }
    ovsdb = new Ovsdb({ address: { socket: ovs.socket } });
    const world = new OvsWorld();
    world.isolated = true;
    atApi = await ApiWorld.start(undefined, world);
    const { nodes, projects } = atApi.appliance;
    const vlans = { first: 100, last: 199 };
    world.isolatorFor = new OvsIsolator({ ovsdb, bridge: "rack", vlans, nodes: () => cablingOf(nodes) });
    for (const name of ["red", "blue"]) await projects.add({ name }, "test");
    for (const name of NODES) {
      const node = newNode(name, host(name));
      const nics = node.nics.map((nic) => ({ ...nic, port: nic.role === "boot" ? `b-${name}` : dataPort(name) }));
      await nodes.add({ ...node, project: name.split("-")[0] as string, nics }, "test");
    }
    api = await startApi(atApi.parts);
    ({ ingot, run } = commandLine(atApi.directory));
    for (const project of ["red", "blue"]) await ingot(project, "image", "import", "golden", ...IMPORT);
  }, 120_000);

  afterAll(async () => {
    await api?.stop();
    await atApi?.end();
    await ovsdb?.close();
    await destroyEverything(directory);
    await spaces?.remove();
  });

  const reaches = (from: Name, to: Name) =>
    runProgram("ip", [
      ...["netns", "exec", namespaceOf(from), "busybox", "ping", "-c", "2", "-W", "1", "-q"],
      `10.88.0.${host(to)}`,
    ]).then(
      () => true,
      () => false,
    );
  const expectReached = (from: Name, to: Name, is: boolean) =>
    expect.poll(() => reaches(from, to), { timeout: 20_000, interval: 100 }).toBe(is);

  /** All frames with a tag that come to a machine. */
  function captureAt(name: Name) {
    const filter = ["-i", "data0", "-n", "-e", "-A", "-l", "--immediate-mode", "-Z", "root", "vlan"];
    const child = spaces.start(namespaceOf(name), ["tcpdump", ...filter]);
    const captured = { text: "", complaints: "" };
    child.stdout?.setEncoding("utf8").on("data", (text) => {
      captured.text += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      captured.complaints += text;
    });
    return captured;
  }

  /** Sends a frame with a VLAN's tag to everybody, by hand: <linux/if_packet.h>, a type that is for experiments. */
  function sendTagged(from: Name, vlan: number, what: string): void {
    const header = `ffffffffffff0200000000018100${vlan.toString(16).padStart(4, "0")}88b5`;
    const [link] = JSON.parse(spaces.run(namespaceOf(from), ["ip", "-json", "link", "show", "data0"]));
    const program =
      'socket(S, 17, 3, 0) or die $!; send(S, pack("H* a64", $ARGV[0], $ARGV[1]), 0, pack("S n l S C C a8", 17, 0x88b5, $ARGV[2], 1, 0, 6, "")) or die $!';
    spaces.run(namespaceOf(from), ["perl", "-e", program, header, what, String(link.ifindex)]);
  }

  it("has nodes in their network from before they boot, and nobody else", { timeout: 90_000 }, async () => {
    await ingot("red", "network", "create", "web");
    for (const name of ["red-1", "red-2"] as const)
      await ingot("red", "provision", name, "--image", "golden", "--attach", `${dataPort(name)}=web`);
    await ingot("blue", "provision", "blue-1", "--image", "golden");
    await expectReached("red-1", "red-2", true);
    await expectReached("red-1", "blue-1", false);
    expect(await ingot("red", "node", "show", "red-1")).toMatch(/d-red-1.* web$/m);
    const foreign = await run("--project", "blue", "network", "attach", "blue-1", dataPort("blue-1"), "web");
    expect(foreign).toMatchObject({ code: 3, err: expect.stringContaining('no network "web"') });
    const boot = await run("--project", "red", "network", "attach", "red-1", "b-red-1", "web");
    expect(boot).toMatchObject({ code: 4, err: expect.stringContaining("boots from") });
  });

  it("lets another project in by a shared network, and frames with its tag alone", { timeout: 90_000 }, async () => {
    await ingot("red", "network", "create", "storage");
    await ingot("red", "network", "share", "storage", "--with", "blue");
    const shown = JSON.parse(await ingot("blue", "network", "show", "red/storage", "--json"));
    expect(shown).not.toHaveProperty("sharedWith");
    const frames = captureAt("blue-1");
    await until("blue-1 listens", async () => frames.complaints.includes("listening on"));
    const seen = (what: string) => frames.text.includes(what);
    /** Sends it again and again, until it is there. */
    const arrives = (what: string) =>
      until(`${what} is at blue-1`, async () => {
        sendTagged("red-1", shown.vlan, what);
        return seen(what);
      });
    const attach = (project: string, node: Name, network: string) =>
      ingot(project, "network", "attach", node, dataPort(node), network, "--tagged");
    await attach("red", "red-1", "storage");
    sendTagged("red-1", shown.vlan, "frame-before");
    await attach("blue", "blue-1", "red/storage");
    await arrives("frame-shared");
    expect(frames.text).toMatch(new RegExp(`vlan ${shown.vlan}\\b`));
    expect(seen("frame-before")).toBe(false);
    // untagged frames of red's stay in web
    await expectReached("red-1", "blue-1", false);
    await expectReached("red-1", "red-2", true);
    const back = await run("--project", "red", "network", "unshare", "storage", "--with", "blue");
    expect(back).toMatchObject({ code: 4, err: expect.not.stringContaining("blue-1") });
    await ingot("blue", "network", "detach", "blue-1", dataPort("blue-1"), "red/storage");
    sendTagged("red-1", shown.vlan, "frame-detached");
    await attach("blue", "blue-1", "red/storage");
    await arrives("frame-again");
    expect(seen("frame-detached")).toBe(false);
    await ingot("blue", "network", "detach", "blue-1", dataPort("blue-1"), "red/storage");
    await ingot("red", "network", "unshare", "storage", "--with", "blue");
    expect(await ingot("blue", "network", "list")).not.toContain("storage");
  });

  it("takes nodes out of all when they are released, then lets networks go", { timeout: 90_000 }, async () => {
    const used = await run("--project", "red", "network", "rm", "web", "--yes");
    expect(used).toMatchObject({ code: 4, err: expect.stringContaining("red-1") });
    for (const name of ["red-1", "red-2"]) await ingot("red", "deprovision", name, "--now");
    await expectReached("red-1", "red-2", false);
    for (const name of ["web", "storage"]) await ingot("red", "network", "rm", name, "--yes");
    const list = await ingot("red", "network", "list");
    expect(list).toMatch(/^prov +provisioning +20 /m);
    expect(list).not.toContain("web");
    for (const line of list.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });
});

describe("behind HIL", () => {
  it("makes, shares, attaches, releases and removes by the command line", { timeout: 120_000 }, async () => {
    const world = await HilWorld.make(["node-1"]);
    const { networks } = world.rack.hil.world;
    const atApi = await ApiWorld.start(undefined, world);
    const api = await startApi(atApi.parts);
    try {
      const { ingot } = commandLine(atApi.directory);
      const { nics: cards } = newNode("node-1", 1);
      const node = { ...nodeInHil("node-1", 1), nics: cards.map((nic, index) => ({ ...nic, port: `eth${index}` })) };
      await atApi.appliance.nodes.add(node, "test");
      await ingot("default", "image", "import", "golden", ...IMPORT);
      await ingot("default", "network", "create", "web");
      const { vlan } = JSON.parse(await ingot("default", "network", "show", "web", "--json"));
      const isolatedAs = atApi.appliance.networks.get("default", "web").isolatedAs;
      expect(networks.get(isolatedAs)).toMatchObject({ access: ["p"], id: String(vlan) });
      const mac = parseMac(node.nics[1]?.mac as string);
      await ingot("default", "provision", "node-1", "--image", "golden", "--attach", `${mac}=web`);
      await ingot("default", "network", "detach", "node-1", "eth1", "web");
      await ingot("default", "network", "attach", "node-1", "eth0", "web", "--tagged");
      const nics = () =>
        Object.fromEntries(
          [...world.rack.hil.world.node("u-node-1").nics].map(([label, nic]) => [label, [...nic.networks]]),
        );
      expect(nics()).toEqual({
        eth0: [
          ["vlan/native", "prov"],
          [`vlan/${vlan}`, isolatedAs],
        ],
        eth1: [],
      });
      await ingot("default", "deprovision", "node-1", "--now");
      expect(nics()).toEqual({ eth0: [], eth1: [] });
      await ingot("default", "network", "rm", "web", "--yes");
      expect(networks.has(isolatedAs)).toBe(false);
    } finally {
      await api.stop();
      await atApi.end();
    }
  });
});
