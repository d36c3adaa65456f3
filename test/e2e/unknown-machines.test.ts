/**
 * Machines that shall not boot from the network go on to their local disk, by every kind of firmware: machines that
 * nobody registered, under the policy `exit`, and registered nodes that are not provisioned. Each is set to boot from
 * the network first, and does ask there.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Discovered } from "../../src/cli/answers.ts";
import { bmcCommand } from "../lab/bmc-command.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { type AddNodeOptions, createRack, type Rack, type RackNode } from "../lab/rack.ts";

const STATE = "/var/tmp/ingot-e2e-unknown";
/** OVMF tries HTTP boot by IPv6 before it comes to the disk, and waits a minute for an answer. */
const BOOT_MS = 150_000;

let rack: Rack;
let localDisk: string;

beforeAll(async () => {
  localDisk = await buildTinyImage({ tag: "local" });
  rack = await createRack({ stateDirectory: STATE, name: "hdeunkn", control: 705 });
});

afterAll(() => destroyEverything(STATE));

type Machine = AddNodeOptions & {
  title: string;
  /** Its class, as its packets tell: OVMF's PXE is followed by HTTP boot. */
  asks: RegExp;
  /** What its console says once it was sent on. */
  sentOn: RegExp;
};

const IPXE_SCREEN = /^Ingot: nothing here for/;

const machines: Machine[] = [
  {
    title: "an unregistered BIOS, iPXE in its ROM",
    name: "rom",
    firmware: "bios",
    asks: /^bios$/,
    sentOn: IPXE_SCREEN,
  },
  {
    ...{ title: "an unregistered UEFI, PXE", name: "pxe", firmware: "uefi", loader: "firmware" },
    ...{ asks: /^uefi-(http-)?x64$/, sentOn: /failed to load \S+ "UEFI PXEv4/ },
  },
  {
    ...{ title: "a UEFI node that is not provisioned, HTTP boot", name: "http", firmware: "uefi", loader: "http" },
    ...{ register: true, asks: /^uefi-http-x64$/, sentOn: /failed to load \S+ "UEFI HTTPv4/ },
  },
  {
    ...{ title: "a BIOS node that is not provisioned, iPXE in its ROM", name: "rom-2", firmware: "bios" },
    ...{ register: true, asks: /^bios$/, sentOn: IPXE_SCREEN },
  },
];

async function powerOn({ title: _, asks: __, sentOn: ___, register = false, ...options }: Machine): Promise<RackNode> {
  const node = await rack.addNode({ ...options, localDisk, register });
  await bmcCommand(rack.network, node, ["chassis", "bootdev", "pxe"]);
  await bmcCommand(rack.network, node, ["chassis", "power", "on"]);
  return node;
}

async function isDiscovered({ mac }: RackNode, asks: RegExp): Promise<boolean> {
  const found = (await rack.ingotJson<Discovered[]>("discovered")).find((one) => one.mac === mac);
  if (found) expect(found).toMatchObject({ network: "prov0", firmware: expect.stringMatching(asks) });
  return found !== undefined;
}

describe.concurrent("from the network on to the local disk", { timeout: BOOT_MS + 30_000 }, () => {
  it.for(machines)("$title", async (machine, { onTestFailed }) => {
    const node = await powerOn(machine);
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    const began = Date.now();
    await node.console.waitForLine(machine.sentOn, 60_000);
    const sentOn = Date.now();
    expect(await isDiscovered(node, machine.asks)).toBe(!machine.register);
    const [marker] = await node.console.waitForLine(/LOCAL-UP .* seconds=\S+/, BOOT_MS);
    console.log(`${node.name}: sent on after ${sentOn - began} ms, up after ${Date.now() - began} ms`);
    expect(marker).toMatch(new RegExp(`^LOCAL-UP root=/dev/vda3 fw=${machine.firmware} count=1 tag=local `));
    await node.destroy();
  });

  it("an unregistered UEFI, iPXE in its ROM, as far as its next boot device", async ({ onTestFailed }) => {
    const asks = /^uefi-x64$/;
    const node = await powerOn({ title: "", name: "uefi-rom", firmware: "uefi", asks, sentOn: IPXE_SCREEN });
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    await node.console.waitForLine(IPXE_SCREEN, 60_000);
    expect(await isDiscovered(node, asks)).toBe(true);
    // a firmware that took the script's end for a boot that worked would show its menu
    await node.console.waitForLine(/Start PXE over IPv4/, 60_000);
    await node.destroy();
  });
});
