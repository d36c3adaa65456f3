/**
 * A DHCP server on real parts: store, leases, boot answers, one socket per network. The plan is JSON in argv[2]; the log
 * goes to stdout, `ready` when it serves. Lines on stdin: `leases` prints them, `pin <mac> <network>`, `unpin <mac> <network>`.
 */
import { createInterface } from "node:readline";
import { leaseOwners } from "../../../src/boot/address-owners.ts";
import { createBootAnswers } from "../../../src/boot/boot-answers.ts";
import { sessionOf } from "../../../src/boot/boot-session.ts";
import { systemClock } from "../../../src/clock.ts";
import { type Config, configSchema } from "../../../src/config/schema.ts";
import { answerDhcp, dhcpSite } from "../../../src/dhcp/answer.ts";
import { startDhcpServer } from "../../../src/dhcp/server.ts";
import { LeaseTable } from "../../../src/leases/lease-table.ts";
import { sweepLeases } from "../../../src/leases/sweep-leases.ts";
import { createLog } from "../../../src/log.ts";
import { openInterfaceSocket } from "../../../src/net/interface-socket.ts";
import type { NodeRecord } from "../../../src/nodes/node.ts";
import { Store } from "../../../src/store/store.ts";
import { ANY_IPV4 } from "../../../src/values/ipv4.ts";
import { parseMac } from "../../../src/values/mac.ts";
import type { DhcpMessage } from "../../../src/wire/dhcp/message.ts";
import { nodeFinder } from "../../unit/boot/boot-fixtures.ts";

const plan = JSON.parse(process.argv[2]!) as { stateDirectory: string; networks: unknown[]; nodes?: NodeRecord[] };
const log = createLog("debug");
const config: Config = configSchema.parse({ networks: plan.networks });
const store = await Store.open(plan.stateDirectory, log);
for (const node of plan.nodes ?? []) await store.commit([{ collection: "nodes", key: node.id, value: node }]);
const reserved = new Map(
  (plan.nodes ?? []).flatMap(({ nics }) =>
    nics.flatMap((nic) => (nic.address ? [[nic.mac, nic.address] as const] : [])),
  ),
);
const reservations = {
  reservationFor: (mac: never) => reserved.get(mac),
  isReserved: (address: never) => [...reserved.values()].includes(address),
  isRegistered: () => true,
};
const leases = new LeaseTable(config.networks, store, reservations, systemClock);
const answers = createBootAnswers({
  owners: leaseOwners(store, systemClock),
  findNode: nodeFinder(store),
  records: store,
  config: () => config,
  bootOf: (client) => sessionOf(undefined, { mac: client.mac, stage: "dhcp-firmware", at: 0 }),
  clock: systemClock,
});
const events = (event: object) => log.info(event, "event");
for (const network of config.networks) {
  const options = { interface: network.interface, address: ANY_IPV4, port: 67, broadcast: true };
  const socket = await openInterfaceSocket(options);
  const site = dhcpSite(network, leases, answers);
  const answer = (message: DhcpMessage) => answerDhcp(message, site);
  startDhcpServer({ network, socket, answer, events, isNode: () => true, log, clock: systemClock });
}
sweepLeases(leases, systemClock, log);
console.log("ready");

for await (const line of createInterface(process.stdin)) {
  const [command, mac = "", network = ""] = line.split(" ");
  if (command === "pin") {
    const { address, changes } = leases.pin(parseMac(mac), network);
    await store.commit(changes);
    console.log(`pinned ${address}`);
  }
  if (command === "unpin") {
    await store.commit(leases.unpin(parseMac(mac), network));
    console.log("unpinned");
  }
  if (command === "leases") console.log(`leases ${JSON.stringify(leases.list())}`);
}
