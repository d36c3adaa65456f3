/**
 * All DHCP of one network on real parts, in a hurry to look for other servers. The plan is JSON in argv[2]; the log goes
 * to stdout, `ready` when it serves. Lines on stdin: `state` prints what is known of DHCP here, `beside` lets it serve
 * beside another server.
 */
import { createInterface } from "node:readline";
import { leaseOwners } from "../../../src/boot/address-owners.ts";
import { createBootAnswers } from "../../../src/boot/boot-answers.ts";
import { BootArchive } from "../../../src/boot/boot-archive.ts";
import { createBootTokens } from "../../../src/boot/boot-token.ts";
import { Timeline } from "../../../src/boot/timeline.ts";
import { systemClock as clock } from "../../../src/clock.ts";
import { configSchema } from "../../../src/config/schema.ts";
import { serveDhcp } from "../../../src/dhcp/serve-dhcp.ts";
import { DhcpStanding } from "../../../src/dhcp/standing.ts";
import { LeaseTable } from "../../../src/leases/lease-table.ts";
import { createLog } from "../../../src/log.ts";
import { openInterfaceSocket } from "../../../src/net/interface-socket.ts";
import type { NodeRecord } from "../../../src/nodes/node.ts";
import { MemoryRecords, nodeFinder } from "../../unit/boot/boot-fixtures.ts";

const plan = JSON.parse(process.argv[2]!) as { network: unknown; nodes?: NodeRecord[]; entries?: { node: string }[] };
const log = createLog("debug");
const config = configSchema.parse({ networks: [plan.network] });
const network = config.networks[0]!;
const records = new MemoryRecords();
for (const node of plan.nodes ?? []) await records.commit([{ collection: "nodes", key: node.id, value: node }]);
for (const entry of plan.entries ?? []) {
  await records.commit([{ collection: "bootEntries", key: entry.node, value: entry }]);
}
const findNode = nodeFinder(records);
const isNode = (mac: Parameters<typeof findNode>[0]) => findNode(mac) !== undefined;
const timeline = new Timeline({ archive: new BootArchive(records, log), isNode, clock });
const leases = new LeaseTable(
  config.networks,
  records,
  { reservationFor: () => undefined, isReserved: () => false, isRegistered: isNode },
  clock,
);
const answers = createBootAnswers({
  findNode,
  owners: leaseOwners(records, clock),
  records,
  config: () => config,
  bootOf: (client, via) => timeline.bootOf(client, via),
  clock,
});
const standing = new DhcpStanding(network, clock, log);
const open = (port: number) =>
  openInterfaceSocket({ interface: network.interface, address: "0.0.0.0" as never, port, broadcast: true });
serveDhcp({
  ...{ network, standing, leases, answers, isNode, clock, log },
  tokens: createBootTokens(Buffer.alloc(32), clock),
  events: (event) => log.info(event, "event"),
  sockets: { dhcp: await open(67), pxe: await open(4011) },
  openProbeSocket: () => open(68),
  times: { windowMs: 3500, everyMs: 500, silentEveryMs: 500 },
});
console.log("ready");

for await (const line of createInterface(process.stdin)) {
  if (line === "state") console.log(`state ${JSON.stringify(standing.state)}`);
  if (line === "beside") network.besideForeignDhcp = true;
}
