/**
 * Who reaches whom, with real packets, while the nodes of two projects are allocated, provisioned, run and are released: a
 * whole appliance, an Open vSwitch, and network namespaces in the place of machines. They try all that root there can.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startProcess } from "../lab/lab-state.ts";
import type { LabNetwork } from "../lab/namespace.ts";
import { type PacketCapture, startCapture } from "../lab/packet-capture.ts";
import { runProgram } from "../lab/program.ts";
import { addQuickMachine } from "../lab/quick-machine.ts";
import { createRack, type Rack } from "../lab/rack.ts";
import { type Place, whatReaches } from "../lab/reach.ts";
import { BMC_NETWORK, vlanOf } from "../lab/switched-network.ts";
import { until } from "./until.ts";

const PROJECTS = ["red", "blue"];
const MACHINES = [machine("red-1", 0, 21), machine("red-2", 0, 22), machine("blue-1", 1, 21)];
const [RED1, RED2, BLUE1] = MACHINES as [Machine, Machine, Machine];
type Machine = ReturnType<typeof machine>;

let rack: Rack;
let places: Place[];

function machine(name: string, network: number, host: number) {
  return {
    ...{ name, network, project: PROJECTS[network] as string },
    mac: `52:54:00:79:0${network}:${host}`,
    address: `10.77.${network}.${host}`,
    bmcAddress: `${BMC_NETWORK}.${network * 100 + host}`,
    namespace: `ingot-phases-${name}`,
  };
}

/** Lets the OS of a machine say that it is up. */
const mayBeReady = ({ name }: Machine) => join(rack.stateDirectory, "nodes", name, "may-be-ready");

beforeAll(async () => {
  const state = "/var/tmp/ingot-phases";
  rack = await createRack({
    stateDirectory: state,
    name: "phases",
    control: 720,
    isolatedProjects: PROJECTS,
    storage: "file",
  });
  for (const one of MACHINES) {
    const url = `http://${rack.addresses[one.network]}/boot/${one.mac}/ready`;
    const post = `[ -e ${mayBeReady(one)} ] && curl -s -m 2 -X POST ${url}`;
    await addQuickMachine(rack, { ...one, program: ["sh", "-c", `while :; do ${post}; sleep 0.2; done`] });
  }
  const image = join(rack.stateDirectory, "image.raw");
  writeFileSync(image, Buffer.alloc(1024 ** 2, 1));
  await rack.importImage("tiny", image);
  await rack.ingot("image", "share", "tiny", "--public");
  places = [
    ...MACHINES.map(({ name, address }) => ({ name, address })),
    ...PROJECTS.flatMap((project, index) => [
      { name: `${project}'s portal`, address: rack.portals[index]!, port: 3260 },
      { name: `${project}'s boot server`, address: rack.addresses[index]!, port: 80 },
      // without a service of it, by the kernel alone
      { name: `${project}'s appliance`, address: rack.addresses[index]! },
    ]),
    { name: "BMC", address: RED1.bmcAddress },
  ];
}, 120_000);
afterAll(() => rack?.destroy());

const inside = ({ namespace }: Machine, ...argv: string[]) =>
  runProgram("nsenter", [`--net=/run/netns/${namespace}`, ...argv]);

/** What each machine reaches, itself apart. */
async function reach(...machines: Machine[]): Promise<Record<string, string[]>> {
  const rows = await Promise.all(
    machines.map(async (one) => {
      const appliance = rack.addresses[one.network]!;
      const others = places.filter(({ name }) => name !== one.name);
      const run = (command: string) => inside(one, "sh", "-c", command);
      return [one.name, await whatReaches(run, { interface: "nic", appliance, places: others, atATime: 20 })] as const;
    }),
  );
  return Object.fromEntries(rows);
}

const services = (project: string) => [`${project}'s portal`, `${project}'s boot server`, `${project}'s appliance`];

/** What the boot server says of a MAC to a machine that asks. */
async function script(asking: Machine, mac: string): Promise<string> {
  const url = `http://${rack.addresses[asking.network]}/boot/${mac}`;
  return await inside(asking, "curl", "-s", "-m", "5", "-w", "%{http_code}", url);
}

/** What comes and goes at the NIC of a machine. */
function captureAt({ name, namespace }: Machine): Promise<PacketCapture> {
  const start: LabNetwork["start"] = (argv, options) =>
    startProcess(rack.stateDirectory, ["nsenter", `--net=/run/netns/${namespace}`, ...argv], options);
  return startCapture({ ...rack.network, start }, { name: `frames-${name}`, interface: "nic" });
}

/** Sends a frame to everybody, by hand: <linux/if_packet.h>, a type that is for experiments. */
async function send(from: Machine, tags: number[], text: string): Promise<void> {
  const [link] = JSON.parse(await inside(from, "ip", "-json", "link", "show", "nic")) as { ifindex: number }[];
  const tag = (vlan: number) => `8100${vlan.toString(16).padStart(4, "0")}`;
  const header = `ffffffffffff${from.mac.replaceAll(":", "")}${tags.map(tag).join("")}88b5`;
  const program =
    'socket(S, 17, 3, 0) or die $!; send(S, pack("H* a64", $ARGV[0], $ARGV[1]), 0, pack("S n l S C C a8", 17, 0x88b5, $ARGV[2], 1, 0, 6, "")) or die $!';
  await inside(from, "perl", "-e", program, header, text, String(link!.ifindex));
}

const provision = ({ name, project }: Machine) =>
  rack.ingot("provision", name, "--image", "tiny", "--project", project);

it("has ingotd look at portals that it can't reach itself", async () => {
  const findings = await rack.ingotJson<{ subject: string; message: string }[]>("doctor").catch(String);
  expect(findings).toEqual(
    expect.arrayContaining(
      rack.portals.map((one) => expect.objectContaining({ subject: `portal ${one}:3260`, message: "listens, apart" })),
    ),
  );
});

it("lets nobody reach anything before it is allocated", { timeout: 60_000 }, async () => {
  expect(await reach(...MACHINES)).toEqual({ "red-1": [], "red-2": [], "blue-1": [] });
});

let booting: Promise<string>;

it("gives a node that boots its own network alone, and its own script", { timeout: 90_000 }, async () => {
  booting = provision(RED1);
  booting.catch(() => {});
  await until(
    "its script is there",
    async () => (await script(RED1, RED1.mac).catch(() => "")).endsWith("200"),
    30_000,
  );
  expect(await script(RED1, RED1.mac)).toContain("sanboot");
  for (const { mac } of [RED2, BLUE1]) expect(await script(RED1, mac)).toMatch(/403$/);
  expect(await reach(...MACHINES)).toEqual({ "red-1": services("red"), "red-2": [], "blue-1": [] });
});

it("lets running nodes of one project reach each other, and no other project's", { timeout: 90_000 }, async () => {
  for (const one of MACHINES) writeFileSync(mayBeReady(one), "");
  await Promise.all([booting, provision(RED2), provision(BLUE1)]);
  expect(await reach(...MACHINES)).toEqual({
    "red-1": ["red-2", ...services("red")],
    "red-2": ["red-1", ...services("red")],
    "blue-1": services("blue"),
  });
  for (const { mac } of [RED2, BLUE1]) expect(await script(RED1, mac)).toMatch(/403$/);
});

it("lets nobody in who takes an address and the MACs of another network", { timeout: 60_000 }, async () => {
  const portal = await runProgram("ip", ["-n", "ingot-phases-prov1", "-json", "link", "show", "portal"]);
  const appliance = await rack.network.run(["ip", "-json", "link", "show", "prov1"]);
  const macs = [portal, appliance].map((text) => (JSON.parse(text) as { address: string }[])[0]!.address);
  const targets = [rack.portals[1]!, rack.addresses[1]!, BLUE1.address];
  await inside(RED1, "ip", "address", "add", "10.77.1.99/24", "dev", "nic");
  try {
    for (const [index, mac] of [...macs, BLUE1.mac].entries()) {
      await inside(RED1, "ip", "neighbour", "replace", targets[index]!, "lladdr", mac, "dev", "nic");
    }
    expect(await reach(RED1)).toEqual({ "red-1": ["red-2", ...services("red")] });
  } finally {
    await inside(RED1, "ip", "address", "del", "10.77.1.99/24", "dev", "nic");
  }
});

it("takes no frame from a node for another VLAN that it names itself", { timeout: 60_000 }, async () => {
  const captures = await Promise.all([RED2, BLUE1].map((one) => captureAt(one)));
  const [atRed2, atBlue1] = captures as [PacketCapture, PacketCapture];
  const seen = (capture: PacketCapture, what: string) => async () => (await capture.text()).includes(what);
  const [red, blue] = [vlanOf(0), vlanOf(1)];
  await send(RED1, [], "frame-plain");
  await send(RED1, [blue], "frame-tagged");
  await send(RED1, [red, blue], "frame-twice-tagged");
  await send(RED1, [], "frame-last");
  await until("the last frame of red-1 is at red-2", seen(atRed2, "frame-last"));
  await send(BLUE1, [], "frame-of-blue");
  await until("blue-1 hears itself", seen(atBlue1, "frame-of-blue"));
  await Promise.all(captures.map((one) => one.end()));
  const framesIn = async (one: PacketCapture) => [...new Set((await one.text()).match(/frame-[a-z-]+/g))];
  expect(await framesIn(atRed2)).toEqual(expect.arrayContaining(["frame-plain", "frame-last"]));
  expect(await framesIn(atBlue1)).toEqual(["frame-of-blue"]);
});

it("owes that to the rules of isolate-network.sh too, which may be run again", { timeout: 90_000 }, async () => {
  await rack.network.run(["nft", "delete", "table", "inet", "ingot"]);
  expect(await reach(RED1)).toEqual({ "red-1": expect.arrayContaining(["blue's appliance", "BMC"]) });
  await rack.isolateNetworks();
  expect(await reach(RED1)).toEqual({ "red-1": ["red-2", ...services("red")] });
});

it("lets a released node reach nothing, and nobody reach it", { timeout: 90_000 }, async () => {
  await rack.ingot("deprovision", RED1.name, "--delete-disk", "--now", "--yes", "--project", "red");
  expect(await reach(...MACHINES)).toEqual({
    "red-1": [],
    "red-2": services("red"),
    "blue-1": services("blue"),
  });
});
