import type { Socket } from "node:dgram";
import type { BootAnswers } from "./boot/boot-answers.ts";
import type { BootEventSink } from "./boot/boot-event.ts";
import { bootFileEvents } from "./boot/boot-file-events.ts";
import type { ScriptTemplates } from "./boot/script-template.ts";
import type { Timeline } from "./boot/timeline.ts";
import type { Clock } from "./clock.ts";
import type { Config, NetworkConfig } from "./config/schema.ts";
import { answerDhcp, dhcpSite } from "./dhcp/answer.ts";
import { startDhcpServer } from "./dhcp/server.ts";
import { assetsRoute } from "./http/boot/assets.ts";
import { startHttpBootServer } from "./http/boot/server.ts";
import type { LeaseTable } from "./leases/lease-table.ts";
import type { Log } from "./log.ts";
import { findInherited, type InheritedSocket } from "./net/inherited-sockets.ts";
import { interfaceMtu } from "./net/interface-mtu.ts";
import { adoptDatagramSocket, openInterfaceListener, openInterfaceSocket } from "./net/interface-socket.ts";
import { startTftpServer } from "./tftp/server.ts";
import { ANY_IPV4, type Ipv4 } from "./values/ipv4.ts";
import type { DhcpMessage } from "./wire/dhcp/message.ts";

export type NetworkParts = {
  config: Config;
  network: NetworkConfig;
  leases: LeaseTable;
  answers: BootAnswers;
  timeline: Timeline;
  templates: ScriptTemplates;
  events: BootEventSink;
  /** Sockets that systemd opened; the servers open their own for those that are missing. */
  inherited: Map<string, InheritedSocket[]>;
  clock: Clock;
  log: Log;
};

/** One provisioning network being served. */
export type ServedNetwork = {
  /** Name and counters of its DHCP server, for the watchdog. */
  dhcp: { name: string; progress(): { pending: number; ended: number } };
  stop(): Promise<void>;
};

/** Serves DHCP, TFTP and HTTP boot on one interface. Rejects with what kept one of them from starting. */
export async function serveNetwork(parts: NetworkParts): Promise<ServedNetwork> {
  const { config, network, answers, events, clock, leases, log } = parts;
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) await one();
  };
  const isLoader = (file: string) => Object.values(config.loaders).some((files) => files?.includes(file));
  const onTransfer = bootFileEvents({ answers, isLoader, clock }, network.name, events);
  try {
    const dhcpSocket = await datagramSocket(parts, "dhcp", ANY_IPV4, 67, true);
    const site = dhcpSite(network, leases, answers);
    const answer = (message: DhcpMessage) => answerDhcp(message, site);
    const dhcp = startDhcpServer({ network, socket: dhcpSocket, answer, events, log, clock });
    stops.push(() => dhcp.stop());

    const tftpSocket = await datagramSocket(parts, "tftp", network.address, 69, false);
    stops.push(() => closeSocket(tftpSocket));
    const tftp = await startTftpServer({
      socket: tftpSocket,
      address: network.address,
      mtu: interfaceMtu(network.interface),
      root: config.assetsDirectory,
      limits: config.tftp,
      onTransfer,
      log: log.child({ component: "tftp", network: network.name }),
      clock,
    });
    stops.push(() => tftp.stop());

    const http = await startHttpBootServer({
      network,
      answers,
      clientOf: (mac) => parts.timeline.current(mac)?.client,
      templates: parts.templates,
      emit: events,
      onTransfer,
      assets: assetsRoute(config.assetsDirectory),
      fd: streamSocket(parts),
      log: log.child({ component: "http-boot", network: network.name }),
      clock,
    });
    stops.push(() => http.stop());

    const { counters } = dhcp;
    const progress = () => ({
      pending: counters.waiting,
      ended: counters.replied + counters.ignored + counters.failed + counters.dropped,
    });
    return { dhcp: { name: `dhcp ${network.name}`, progress }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function datagramSocket(
  { network, inherited }: NetworkParts,
  service: "dhcp" | "tftp",
  address: Ipv4,
  port: number,
  broadcast: boolean,
): Promise<Socket> {
  const fd = findInherited(inherited, `${service}-${network.interface}`, "datagram", network.interface);
  if (fd !== undefined) return adoptDatagramSocket(fd, { broadcast });
  return openInterfaceSocket({ interface: network.interface, address, port, broadcast });
}

function streamSocket({ network, inherited }: NetworkParts): number {
  const { interface: name, address, httpPort: port } = network;
  return (
    findInherited(inherited, `http-${name}`, "stream", name) ??
    openInterfaceListener({ interface: name, address, port })
  );
}

function closeSocket(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
}
