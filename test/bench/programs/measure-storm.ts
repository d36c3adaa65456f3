/** The nodes' end of `npm run bench -- storm`. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Operation } from "../../../src/cli/answers.ts";
import { openInterfaceSocket } from "../../../src/net/interface-socket.ts";
import { ANY_IPV4 } from "../../../src/values/ipv4.ts";
import { parseMac } from "../../../src/values/mac.ts";
import { DhcpExchange } from "../../lab/simulated/dhcp-exchange.ts";
import { bootSimulated, type SimulatedBoot, type Way } from "../../lab/simulated/node.ts";
import { nodeAddress, nodeMac } from "../measure/appliance.ts";
import { api, confirm, facts, loopDelay, reached, switchOff } from "../measure/client.ts";
import { type Case, sideBySide } from "../measure/side-by-side.ts";

const NODES = 1000;
const AT_A_TIME = 8;
/** The appliance looks for logins a few times a second while machines boot. */
const LOOK_MS = 2000;
const WAYS: Way[] = ["rom", "pxe", "http"];
const name = (node: number) => `storm-${node}`;

/** Every node has its own disk, exported, and waits to be switched on. */
async function provision(node: number): Promise<void> {
  const nic = { mac: nodeMac(node), role: "boot", network: "prov0", address: nodeAddress(node) };
  await api.post("/v1/nodes", { name: name(node), nics: [nic], firmware: "uefi", power: { driver: "manual" } });
  await switchOff(name(node));
  const operation = await api.post<Operation>(`/v1/nodes/${name(node)}/provision`, { image: "storm" });
  await reached(operation, "power-on", "started");
  await confirm(name(node));
}

async function provisionAll(): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let node = next++; node < NODES; node = next++) {
      await provision(node);
      if ((node + 1) % 100 === 0) console.error(`${node + 1} of ${NODES} nodes have a disk`);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

const socket = await openInterfaceSocket({ interface: facts.interface, address: ANY_IPV4, port: 68, broadcast: true });
const dhcp = new DhcpExchange(socket);

/** Seconds until the last of `count` nodes has read the beginning of its disk. */
async function storm(count: number): Promise<number> {
  const boots = await Promise.allSettled(
    Array.from({ length: count }, (_, node) =>
      bootSimulated(dhcp, facts.server, parseMac(nodeMac(node)), WAYS[node % WAYS.length] as Way),
    ),
  );
  const booted = boots.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  // a machine does not leave its disk at once; one that never seems to have come to it would be held as a boot loop
  await sleep(LOOK_MS);
  for (const { session } of booted) session.cut();
  const lost = boots.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
  if (lost.length > 0)
    throw new Error(`${lost.length} of ${count} nodes lost:\n${[...new Set(lost)].slice(0, 10).join("\n")}`);
  await say(count, booted);
  return Math.max(...booted.map((one) => one.seconds));
}

async function say(count: number, booted: SimulatedBoot[]): Promise<void> {
  const again = booted.reduce((sum, one) => sum + one.retransmissions, 0);
  const { p99Ms, maxMs } = await loopDelay();
  console.error(
    `${count} nodes: none lost, ${again} DHCP retransmissions, ingotd's event loop late by ${p99Ms.toFixed(0)} ms (p99), ${maxMs.toFixed(0)} ms at most`,
  );
}

const bound = (theirs: number) => ({ unit: "s", better: "lower" as const, peer: "bound", theirs });
const cases: Case[] = [
  { case: "1 node", ...bound(1), ours: () => storm(1) },
  {
    case: "24 nodes, beyond one",
    unit: "s",
    better: "lower",
    ours: async () => (await storm(24)) - (await storm(1)),
    peer: "M2, published",
    theirs: 20,
  },
  { case: "24 nodes", ...bound(2), ours: () => storm(24) },
  { case: "100 nodes", ...bound(5), ours: () => storm(100) },
  { case: "300 nodes", ...bound(15), ours: () => storm(300) },
  { case: "1000 nodes", ...bound(45), ours: () => storm(1000) },
];

await provisionAll();
await sideBySide("storm", cases, 3);
socket.close();
