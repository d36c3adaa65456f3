/**
 * What the short set leaves out: mutual CHAP by every loader, other NICs and kernels, booting a single time, a dead portal,
 * and the other policies for unknown machines. One rack with `chap: mutual`, two machines at a time.
 *
 * Four nodes provisioned at once are not here: nothing bounds how many machines the appliance has powered on, and two
 * cores emulate two at a time. lab-nodes.test.ts boots four in turns.
 */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import type { Boot, Disk } from "../../../src/cli/answers.ts";
import { createTgtClient } from "../../../src/drivers/targets/tgt-client.ts";
import { bmcCommand } from "../../lab/bmc-command.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { startCapture } from "../../lab/packet-capture.ts";
import { type AddNodeOptions, createRack, type Rack, type RackNode } from "../../lab/rack.ts";
import { findTarget, listPortals } from "../target-view.ts";

const STATE = "/var/tmp/ingot-full-matrix";
const BOOT_MS = 8 * 60_000;
const PORTAL = "10.77.0.1";
const DEAD_PORTAL = "10.77.0.2";

/**
 * What CHAP says in both directions (RFC 7143 12.1): in login requests (opcode 3, immediate or not), in login responses
 * (0x23), or at the start of a packet, since tgtd sends a response's text apart from its header.
 */
const payload = "tcp[(tcp[12] & 0xf0) >> 2";
const CHAP = `tcp port 3260 and (${payload}] & 0x3f = 3 or ${payload}] = 0x23 or ${payload} : 4] = 0x43484150)`;

let rack: Rack;

beforeAll(async () => {
  await destroyEverything(STATE);
  const images = {
    cloud: await buildTinyImage({ tag: "cloud" }),
    metal: await buildTinyImage({ tag: "metal", kernel: "amd64" }),
  };
  const operations = { loginSeconds: BOOT_MS / 1000, readySeconds: BOOT_MS / 1000 };
  rack = await createRack({
    ...{ stateDirectory: STATE, name: "hdgmatr", control: 805, config: { chap: "mutual", operations } },
  });
  for (const [name, file] of Object.entries(images)) await rack.importImage(name, file);
}, 10 * 60_000);

afterAll(() => destroyEverything(STATE));

type Case = { title: string; node: AddNodeOptions; image: "cloud" | "metal"; loader?: string };

const cases: Case[] = [
  { title: "BIOS, by the iPXE in its ROM", node: { name: "rom", firmware: "bios" }, image: "cloud" },
  {
    title: "UEFI, by our snponly.efi",
    node: { name: "uefi", firmware: "uefi", loader: "firmware" },
    image: "cloud",
    loader: "snponly.efi",
  },
  {
    title: "BIOS, by our undionly.kpxe",
    node: { name: "ours", firmware: "bios", loaderSetting: "ours" },
    image: "cloud",
    loader: "undionly.kpxe",
  },
  {
    title: "BIOS with an e1000 and Debian's kernel for metal",
    node: { name: "e1000", firmware: "bios", nicModel: "e1000" },
    image: "metal",
  },
  {
    title: "UEFI with an e1000 and Debian's kernel for metal",
    node: { name: "e1000-uefi", firmware: "uefi", nicModel: "e1000" },
    image: "metal",
  },
];

describe.concurrent("target and node prove themselves to each other", { timeout: 2 * BOOT_MS }, () => {
  it.for(cases)("$title", async ({ node: options, image, loader }, { onTestFailed }) => {
    const node = await rack.addNode(options);
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    const capture = await startCapture(rack.network, {
      name: `chap-${node.name}`,
      interface: node.network,
      filter: `ether host ${node.mac} and ${CHAP}`,
    });

    const disk = await provision(node, "--image", image);

    const [marker] = await node.console.waitForLine(/^INGOT-UP .*/, BOOT_MS);
    expect(marker).toContain(`:${disk.id} fw=${options.firmware} count=1 tag=${image} mac=${node.mac} `);
    const boot = await newestBoot(node);
    expect(boot.refusals).toEqual([]);
    expect(boot.stages.find(({ stage }) => stage === "boot-file")?.file).toBe(loader);
    await capture.end();
    const text = await capture.text();
    const [user, reverseUser] = (await findTarget(rack, disk.id))?.accounts ?? [];
    const said = [...text.matchAll(/CHAP_N=([^.]+)\.CHAP_R=0x[0-9a-f]{32}(\.CHAP_I=\d+\.CHAP_C=0x)?/gi)];
    // what a slow machine acknowledges late is sent twice
    const proofs = [...new Map(said.map((match) => [match[0], match])).values()];
    // iPXE, the initramfs and iscsid, each answered at once
    expect(proofs.length).toBeGreaterThanOrEqual(4);
    for (const [index, [, name, challenge]] of proofs.entries()) {
      expect(name).toBe(index % 2 === 0 ? user : reverseUser);
      expect(challenge !== undefined).toBe(index % 2 === 0);
    }
    await release(node);
  });
});

/** Makes a node boot, waits until its OS is up, and answers its disk. */
async function provision(node: RackNode, ...what: string[]): Promise<Disk> {
  await rack.ingot("provision", node.name, ...what);
  const disk = (await rack.ingotJson<Disk[]>("disk", "list")).find((one) => one.name.startsWith(`${node.name}-`));
  if (!disk) throw new Error(`${node.name} has no disk`);
  return disk;
}

async function release(node: RackNode): Promise<void> {
  await rack.ingot("deprovision", node.name, "--delete-disk", "--now");
  await node.destroy();
}

async function newestBoot(node: RackNode): Promise<Boot> {
  const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", node.name);
  if (!boot) throw new Error(`${node.name} never booted`);
  return boot;
}

it("a node refuses a target that does not know the secret", { timeout: 2 * BOOT_MS }, async ({ onTestFailed }) => {
  const node = await rack.addNode({ name: "wary", firmware: "bios" });
  onTestFailed(async () => console.log(await bootStory(rack, node)));
  const { id } = await provision(node, "--image", "cloud");
  await bmcCommand(rack.network, node, ["chassis", "power", "off"]);
  await changeProof(id);
  const since = await node.console.mark();

  await bmcCommand(rack.network, node, ["chassis", "power", "on"]);

  await node.console.waitForLine(/can't boot disk/, BOOT_MS, since);
  const said = (await node.console.lines(since)).join("\n");
  expect(said).toMatch(/Could not open SAN device: .*(password|[Pp]ermission|[Pp]ermitted)/);
  expect(said).not.toContain("INGOT-UP");
  await release(node);
});

/** Gives the account by which a disk's target proves itself another secret. */
async function changeProof(disk: string): Promise<void> {
  const target = await findTarget(rack, disk);
  const user = target?.accounts[1];
  if (!user) throw new Error(`the target of ${disk} has no account of its own`);
  const client = createTgtClient();
  const ask = (request: Parameters<typeof client>[1]) => client(rack.control, request, AbortSignal.timeout(5000));
  const shown = await ask({ mode: "target", operation: "show" });
  const tid = Number(new RegExp(`^Target (\\d+): ${target.iqn}$`, "m").exec(shown)?.[1]);
  await ask({ mode: "account", operation: "delete", parameters: { user } });
  await ask({ mode: "account", operation: "new", parameters: { user, password: "another-secret-1" } });
  await ask({ mode: "account", operation: "bind", tid, direction: "outgoing", parameters: { user } });
}

const FIRMWARES = [
  { firmware: "bios", loader: "ipxe" },
  { firmware: "uefi", loader: "firmware" },
] as const;

describe.concurrent("a node that is provisioned once", { timeout: 2 * BOOT_MS }, () => {
  it.for(FIRMWARES)("boots from its local disk after that, $firmware", async (how, { onTestFailed }) => {
    const localDisk = await buildTinyImage({ tag: "local" });
    const node = await rack.addNode({ name: `once-${how.firmware}`, ...how, localDisk });
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    await provision(node, "--image", "cloud", "--once");
    await node.console.waitForLine(/^INGOT-UP .* count=1 tag=cloud /, BOOT_MS);
    const since = await node.console.mark();

    node.console.write("reboot\n");

    await node.console.waitForLine(/^LOCAL-UP root=\/dev\/vda3 .* count=1 tag=local /, BOOT_MS, since);
    await release(node);
  });
});

describe("after a change of the configuration", { timeout: 2 * BOOT_MS }, () => {
  it("a node takes the next portal when the first one is dead", async ({ onTestFailed }) => {
    const deadAddress = ["address", "add", `${DEAD_PORTAL}/24`, "dev", "prov0"];
    await rack.network.run(["ip", ...deadAddress]);
    await reconfigure({ portals: [{ address: DEAD_PORTAL }, { address: PORTAL }] });
    const served = async () => (await listPortals(rack)).includes(`${DEAD_PORTAL}:3260`);
    await expect.poll(served, { timeout: 60_000 }).toBe(true);
    await rack.network.run(["ip", ...deadAddress.with(1, "delete")]);
    const node = await rack.addNode({ name: "portals", firmware: "bios" });
    onTestFailed(async () => console.log(await bootStory(rack, node)));

    await provision(node, "--image", "cloud");

    const said = (await node.console.lines()).join("\n");
    expect(said).toMatch(new RegExp(`disk at ${DEAD_PORTAL} port 3260\n[^]*disk at ${PORTAL} port 3260\n[^]*INGOT-UP`));
    await release(node);
    await reconfigure({ portals: [{ address: PORTAL }] });
  });

  it.for(FIRMWARES)("an unknown machine is held at a screen that says so, $firmware", async (how, { onTestFailed }) => {
    await reconfigure({ unknown: "hold" });
    const node = await powerOnUnknown({ name: `hold-${how.firmware}`, ...how });
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    await node.console.waitForLine(/^Ingot: this machine is not registered; it waits here/, BOOT_MS);
    await node.console.waitForLine(new RegExp(`^MAC address +${node.mac}`), 60_000);
    // asks again, and is answered the same
    const since = await node.console.mark();
    node.console.write(" ");
    await node.console.waitForLine(/^Ingot: this machine is not registered; it waits here/, BOOT_MS, since);
    expect((await node.console.lines()).join("\n")).not.toContain("LOCAL-UP");
    await node.destroy();
  });

  it("an unknown machine is not answered at all", async ({ onTestFailed }) => {
    await reconfigure({ unknown: "ignore" });
    const localDisk = await buildTinyImage({ tag: "local" });
    const capture = await startCapture(rack.network, { name: "ignored", interface: "prov0", filter: "udp" });
    const node = await powerOnUnknown({ name: "ignored", firmware: "bios", localDisk });
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    await node.console.waitForLine(/^LOCAL-UP /, BOOT_MS);
    await node.destroy();
    await capture.end();
    expect(await capture.list(`ether src ${node.mac} and udp dst port 67`)).not.toEqual([]);
    // ours are only the questions for other DHCP servers
    expect(await capture.list(`not ether src ${node.mac} and not udp dst port 67`)).toEqual([]);
  });
});

async function powerOnUnknown(options: AddNodeOptions): Promise<RackNode> {
  const node = await rack.addNode({ ...options, register: false });
  await bmcCommand(rack.network, node, ["chassis", "bootdev", "pxe"]);
  await bmcCommand(rack.network, node, ["chassis", "power", "on"]);
  return node;
}

/** Changes keys of the network and starts ingotd anew. */
async function reconfigure(keys: Record<string, unknown>): Promise<void> {
  const config = parse(await readFile(rack.configFile, "utf8"));
  Object.assign(config.networks[0], keys);
  await writeFile(rack.configFile, stringify(config));
  await rack.end("ingotd");
  await rack.startIngotd();
}
