import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { configSchema } from "../../src/config/schema.ts";
import { answerDhcp, dhcpSite } from "../../src/dhcp/answer.ts";
import { startDhcpServer } from "../../src/dhcp/server.ts";
import { LeaseTable } from "../../src/leases/lease-table.ts";
import { createLog } from "../../src/log.ts";
import { Store } from "../../src/store/store.ts";
import { ANY_IPV4, BROADCAST_IPV4, type Ipv4 } from "../../src/values/ipv4.ts";
import { encodeDhcp } from "../../src/wire/dhcp/encode.ts";
import type { DhcpMessage } from "../../src/wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../../src/wire/dhcp/message-type.ts";
import { writeOption } from "../../src/wire/dhcp/option.ts";
import { OPTION } from "../../src/wire/dhcp/options.ts";
import { SocketStandIn } from "../unit/dhcp/socket.ts";

const CLIENTS = 10_000;
/** As many as a socket's receive buffer holds at a time. */
const BURST = 250;

function packet(client: number, requested?: Ipv4): Buffer {
  const message: DhcpMessage = {
    op: "request",
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: client,
    secs: 0,
    broadcast: false,
    ciaddr: ANY_IPV4,
    yiaddr: ANY_IPV4,
    siaddr: ANY_IPV4,
    giaddr: ANY_IPV4,
    chaddr: Uint8Array.of(2, 0, 0, 0, client >> 8, client & 255),
    sname: "",
    file: "",
    dhcp: true,
    options: new Map(),
  };
  writeOption(message.options, OPTION.messageType, requested ? MESSAGE_TYPE.request : MESSAGE_TYPE.discover);
  writeOption(message.options, OPTION.parameterRequestList, [1, 3, 6, 15]);
  if (requested) writeOption(message.options, OPTION.requestedAddress, requested);
  if (requested) writeOption(message.options, OPTION.serverId, "10.64.0.1" as Ipv4);
  return encodeDhcp(message);
}

it("leases to ten thousand clients through codec, rules and journal; the rates are printed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ingot-throughput-"));
  const log = createLog("info", { write: () => {} });
  const store = await Store.open(directory, log);
  const config = configSchema.parse({
    networks: [
      {
        name: "rack",
        interface: "eth1",
        address: "10.64.0.1",
        subnet: "10.64.0.0/16",
        pool: [{ from: "10.64.1.0", to: "10.64.200.255" }],
        router: "10.64.0.254",
        dns: ["10.64.0.53"],
        portals: [{ address: "10.64.0.1" }],
        tgtd: { control: 1 },
      },
    ],
  });
  const network = config.networks[0]!;
  const reservations = { reservationFor: () => undefined, isReserved: () => false, isRegistered: () => true };
  const leases = new LeaseTable(config.networks, store, reservations, systemClock);
  const owners = { owns: () => false, reports: () => false, ownerOf: () => undefined };
  const answers = { answer: () => ({ kind: "none" }) as const, ...owners };
  const site = dhcpSite(network, leases, answers);
  const socket = new SocketStandIn();
  const events = () => {};
  const server = startDhcpServer({
    network,
    socket: socket.asSocket(),
    answer: (message) => answerDhcp(message, site),
    events,
    isNode: () => true,
    log,
    clock: systemClock,
  });

  async function rate(packets: Buffer[]): Promise<number> {
    const started = performance.now();
    for (let at = 0; at < packets.length; at += BURST) {
      for (const one of packets.slice(at, at + BURST)) socket.deliver(one);
      while (server.counters.waiting >= BURST) await new Promise((resolve) => setImmediate(resolve));
    }
    while (server.counters.waiting > 0) await new Promise((resolve) => setImmediate(resolve));
    return Math.round((packets.length * 1000) / (performance.now() - started));
  }

  try {
    const offers = await rate(Array.from({ length: CLIENTS }, (_, client) => packet(client)));
    const offered = socket.sent.splice(0).map(({ message }) => message);
    const requests = offered.map(({ xid, yiaddr }) => packet(xid, yiaddr));
    const acks = await rate(requests);
    const renewals = await rate(requests);
    expect(leases.list().length).toBe(CLIENTS);
    expect(new Set(leases.list().map(({ address }) => address)).size).toBe(CLIENTS);
    expect(socket.sent.length).toBe(2 * CLIENTS);
    expect(socket.sent.every(({ to }) => to.startsWith(BROADCAST_IPV4))).toBe(true);
    console.log(`${CLIENTS} clients: ${offers} OFFERs/s, ${acks} first ACKs/s, ${renewals} further ACKs/s`);
  } finally {
    await server.stop();
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
