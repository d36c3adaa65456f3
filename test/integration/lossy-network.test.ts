/**
 * A network that loses one packet in twenty, both ways: every client that people have gets what it asks for, whole.
 * TFTP clients one by one, at other losses too: tftp-clients.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { destroyEverything } from "../lab/lab-state.ts";
import type { BootedMachine, BootTask } from "../lab/simulated/boot-machines.ts";
import type { Way } from "../lab/simulated/node.ts";
import { createSimulatedRack, type Machine, type SimulatedRack } from "../lab/simulated/rack.ts";
import { readAttachment } from "../lab/simulated/script.ts";

const STATE = "/var/tmp/ingot-lossy-test";
const MACHINES = 9;
const WAYS: Way[] = ["rom", "pxe", "http"];
let simulated: SimulatedRack;
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

beforeAll(async () => {
  const place = { stateDirectory: STATE, name: "lossy", control: 692 };
  simulated = await createSimulatedRack(place, { machines: MACHINES, provisioned: MACHINES });
  const { rack, nodes } = simulated;
  // where a packet comes in, before any socket hears of it: those of DHCP clients listen in front of the firewall
  const lose = (device: string) =>
    `table netdev lossy { chain in { type filter hook ingress device ${device} priority 0; numgen random mod 100 < 5 counter drop; }; }`;
  await rack.network.run(["nft", lose("nodes")]);
  await nodes.run("nft", lose(nodes.interface));
}, 120_000);
afterAll(() => destroyEverything(STATE));

it("boots machines all at once, by every way", async () => {
  const { rack, nodes, machines, image } = simulated;
  const task: BootTask = {
    server: rack.addresses[0] as string,
    interface: nodes.interface,
    diskBytes: image.length,
    machines: machines.map(({ mac }, index) => ({ mac, way: WAYS[index % WAYS.length] as Way })),
  };
  const program = join(import.meta.dirname, "../lab/simulated/boot-machines.ts");
  const output = await nodes.run(process.execPath, program, JSON.stringify(task));
  const booted = JSON.parse(output.trim().split("\n").at(-1) as string) as BootedMachine[];
  expect(booted.filter(({ failure }) => failure)).toEqual([]);
  expect(booted.map((one) => one.sha256)).toEqual(machines.map(() => sha256(image)));
  const lost = await Promise.all([rack.network.run(["nft", "list", "ruleset"]), nodes.run("nft", "list", "ruleset")]);
  for (const text of lost) expect(Number(/counter packets (\d+)/.exec(text)?.[1]), text).toBeGreaterThan(10);
}, 120_000);

it.each([
  ["udhcpc", "udhcpc -f -q -n -t 10 -T 1 -A 1 -i node0 -s /bin/true -V PXEClient"],
  ["dhclient", "dhclient -4 -1 -v -sf /bin/true -lf STATE/dhclient.leases -pf STATE/dhclient.pid node0"],
])(
  "%s gets an address",
  async (_, command) => {
    const argv = command.replaceAll("STATE", STATE).split(" ");
    await simulated.nodes.run(...argv);
    const leases = await simulated.rack.ingotJson<{ mac: string }[]>("lease", "list");
    const [link] = JSON.parse(await simulated.nodes.run("ip", "-json", "link", "show", "node0"));
    expect(leases.map(({ mac }) => mac)).toContain(link.address);
  },
  60_000,
);

it("curl fetches a loader", async () => {
  const to = join(STATE, "curl.efi");
  await simulated.nodes.run("curl", "-sS", "-o", to, "http://10.77.0.1/assets/ipxe.efi");
  expect(sha256(readFileSync(to))).toBe(sha256(readFileSync(join(STATE, "assets/ipxe.efi"))));
}, 60_000);

it("qemu-img and iscsi-inq read a disk", async () => {
  const { nodes, image, machines } = simulated;
  const { mac, address } = machines[0] as Machine;
  const script = await nodes.run("curl", "-sS", "--interface", address, `http://10.77.0.1/boot/${mac}`);
  const { iqn, user, secret } = readAttachment(script) ?? {};
  expect(iqn, script).toBeDefined();
  // the portal is open to the machine's own address alone
  await nodes.run("ip", "route", "replace", "10.77.0.1", "dev", "node0", "src", address);
  const to = join(STATE, "qemu-img.raw");
  const options = `driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=10.77.0.1:3260,file.target=${iqn},file.lun=1,file.user=${user},file.password-secret=chap`;
  const object = `secret,id=chap,data=${secret}`;
  await nodes.run("qemu-img", "convert", "--object", object, "--image-opts", options, "-O", "raw", to);
  expect(sha256(readFileSync(to))).toBe(sha256(image));
  const url = `iscsi://${user}%${secret}@10.77.0.1/${iqn}/1`;
  expect(await nodes.run("iscsi-inq", url)).toContain("INGOT");
}, 60_000);
