/**
 * Boots beside another DHCP server, which gives the addresses: a BIOS beside dnsmasq, UEFI beside Kea.
 *
 *   ingot-moprx:  prov0 10.77.0.1 --- nodes
 *                   |--- veth --- ingot-moprx-foreign: dnsmasq or Kea at 10.77.0.2, pool .50 to .69
 *                   `--- veth --- ingot-moprx-stranger
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Boot, Disk, Finding, Lease, Status } from "../../src/cli/answers.ts";
import { until } from "../integration/until.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";
import { ForeignServer } from "./foreign-server.ts";
import { Stranger } from "./stranger.ts";
import { findTarget } from "./target-view.ts";

const STATE = "/var/tmp/ingot-e2e-proxy";
const FOREIGN_ADDRESS = /^10\.77\.0\.[56]\d$/;

let rack: Rack;
let foreign: ForeignServer;
let stranger: Stranger;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "proxy" });
  rack = await createRack({ stateDirectory: STATE, name: "moprx", control: 400, networkConfig: { dhcp: "auto" } });
  await rack.importImage("tiny", image);
  foreign = new ForeignServer(rack.network);
  await foreign.connect();
  stranger = new Stranger(rack.network, "prov0");
  await stranger.connect();
  // auto shall find the other server when it starts
  await rack.end("ingotd");
  await foreign.start("dnsmasq");
  await rack.startIngotd();
  await until("sight of the other server", async () => (await dhcpState())?.role === "proxy");
}, 120_000);
afterAll(() => destroyEverything(STATE));

async function dhcpState() {
  return (await rack.ingotJson<Status>("status")).networks[0]?.dhcp;
}

async function provision(node: RackNode): Promise<Boot> {
  await rack.ingot("provision", node.name, "--image", "tiny").catch(async (error) => {
    throw new Error(`${error.message}\n${await bootStory(rack, node)}`);
  });
  const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", node.name);
  return boot!;
}

/** What every boot beside another server shows: its address, and a disk that is open to the node's name alone. */
async function expectProxied(node: RackNode, boot: Boot): Promise<void> {
  expect(boot.refusals).toEqual([]);
  const ready = boot.stages.find(({ stage }) => stage === "ready");
  expect(ready?.address).toMatch(FOREIGN_ADDRESS);
  expect(await rack.ingotJson<Lease[]>("lease", "list")).toEqual([]);
  const disk = (await rack.ingotJson<Disk[]>("disk", "list")).find(({ name }) => name.startsWith(node.name));
  const target = await findTarget(rack, disk!.id);
  expect(target?.openTo).toEqual([expect.stringMatching(/^iqn\.2026-11\.org\.ingot:node-/)]);
}

describe("beside dnsmasq", { timeout: 180_000 }, () => {
  it("boots a BIOS by proxy answers once the other server was found", async () => {
    const node = await rack.addNode({ name: "bios", firmware: "bios" });
    const boot = await provision(node);
    expect(boot.stages.map(({ stage }) => stage)).toEqual(expect.arrayContaining(["dhcp-ipxe", "script", "ready"]));
    await expectProxied(node, boot);

    expect(await dhcpState()).toMatchObject({ role: "proxy", foreign: [{ address: ForeignServer.address }] });
    const findings = await rack.ingotJson<Finding[]>("doctor").catch(() => []);
    expect(findings.filter(({ check, state }) => check === "dhcp" && state !== "ok")).toEqual([]);
  });

  it("tells a stranger nothing of a node, whatever it asks", async () => {
    const mac = "52:54:00:77:00:01";
    await stranger.takeAddress("10.77.0.200");
    const iPxe = ["-A", "iPXE/1.0.0"];
    const script = `http://10.77.0.1/boot/${mac}`;
    for (const url of [script, `${script}?token=AAAAAAAAAAAAAAAAAAAAAA`]) {
      expect(await stranger.fetch(url)).toMatchObject({ status: 403 });
      const { status, body } = await stranger.fetch(url, ...iPxe);
      expect([status, body]).toEqual([200, expect.stringContaining("does not belong to")]);
      expect(body).not.toMatch(/password|sanboot/);
    }
    expect(await stranger.fetch(`${script}/ready`, "-X", "POST")).toMatchObject({ status: 403 });
  });
});

describe("beside Kea", { timeout: 180_000 }, () => {
  it("boots UEFI by its PXE client", async () => {
    await foreign.stop();
    await foreign.start("kea");
    const node = await rack.addNode({ name: "uefi", firmware: "uefi", loader: "firmware" });
    const boot = await provision(node);
    expect(boot.stages.map(({ stage }) => stage)).toEqual(
      expect.arrayContaining(["dhcp-firmware", "boot-file", "dhcp-ipxe", "script", "ready"]),
    );
    await expectProxied(node, boot);
  });
});
