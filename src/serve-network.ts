import type { Socket } from "node:dgram";
import type { BootAnswers } from "./boot/boot-answers.ts";
import type { BootEventSink } from "./boot/boot-event.ts";
import { bootFileEvents } from "./boot/boot-file-events.ts";
import type { BootTokens } from "./boot/boot-token.ts";
import type { ScriptTemplates } from "./boot/script-template.ts";
import type { Timeline } from "./boot/timeline.ts";
import type { Clock } from "./clock.ts";
import type { Config, NetworkConfig } from "./config/schema.ts";
import { serveDhcp } from "./dhcp/serve-dhcp.ts";
import type { DhcpStanding } from "./dhcp/standing.ts";
import { assetsRoute } from "./http/boot/assets.ts";
import { type BootServerParts, startHttpBootServer } from "./http/boot/server.ts";
import type { LeaseTable } from "./leases/lease-table.ts";
import type { Log } from "./log.ts";
import { borrowDatagramSocket } from "./net/borrowed-socket.ts";
import { findInherited, type InheritedSocket } from "./net/inherited-sockets.ts";
import { adoptDatagramSocket, openInterfaceListener, openInterfaceSocket } from "./net/interface-socket.ts";
import { findInterface } from "./net/interface-state.ts";
import { startTftpServer } from "./tftp/server.ts";
import { ANY_IPV4, type Ipv4 } from "./values/ipv4.ts";
import type { Mac } from "./values/mac.ts";
import { CLIENT_PORT, PXE_PORT } from "./wire/dhcp/protocol.ts";

/** Of an interface that is not there yet. */
const ETHERNET_MTU = 1500;

/** What all that one network is served is made of. */
export type NetworkParts = {
  config: Config;
  network: NetworkConfig;
  leases: LeaseTable;
  answers: BootAnswers;
  /** The part that our DHCP plays here. */
  standing: DhcpStanding;
  tokens: BootTokens;
  timeline: Timeline;
  templates: ScriptTemplates;
  events: BootEventSink;
  /** Whether a node has this NIC. */
  isNode: (mac: Mac) => boolean;
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
  const { config, network, answers, events, isNode, clock, leases, log } = parts;
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) await one();
  };
  const isLoader = (file: string) => Object.values(config.loaders).some((files) => files?.includes(file));
  const onTransfer = bootFileEvents({ answers, isLoader, clock }, network.name, events);
  try {
    const dhcpSocket = await datagramSocket(parts, "dhcp", ANY_IPV4, 67, true);
    stops.push(() => closeSocket(dhcpSocket));
    const pxeSocket = await datagramSocket(parts, "pxe", ANY_IPV4, PXE_PORT, false);
    stops.pop();
    const { dhcp, stop: stopDhcp } = serveDhcp({
      ...{ network, leases, answers, isNode, events, clock, log },
      standing: parts.standing,
      tokens: parts.tokens,
      sockets: { dhcp: dhcpSocket, pxe: pxeSocket },
      openProbeSocket: () => probeSocket(parts),
    });
    stops.push(stopDhcp);

    const tftpSocket = await datagramSocket(parts, "tftp", network.address, 69, false);
    stops.push(() => closeSocket(tftpSocket));
    const tftp = await startTftpServer({
      socket: tftpSocket,
      address: network.address,
      mtu: findInterface(network.interface)?.mtu ?? ETHERNET_MTU,
      root: config.assetsDirectory,
      limits: config.tftp,
      onTransfer,
      log: log.child({ component: "tftp", network: network.name }),
      clock,
    });
    stops.push(() => tftp.stop());

    const boots: BootServerParts = {
      network,
      answers,
      clientOf: (mac) => parts.timeline.current(mac)?.client,
      tokens: parts.tokens,
      templates: parts.templates,
      emit: events,
      onTransfer,
      assets: assetsRoute(config.assetsDirectory),
      log: log.child({ component: "http-boot", network: network.name }),
      clock,
    };
    for (const fd of streamSockets(parts)) {
      const http = await startHttpBootServer({ ...boots, fd });
      stops.push(() => http.stop());
    }

    const { counters } = dhcp;
    const progress = () => ({
      pending: counters.waiting,
      ended: counters.replied + counters.ignored + counters.failed,
    });
    return { dhcp: { name: `dhcp ${network.name}`, progress }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function datagramSocket(
  { network, inherited }: NetworkParts,
  service: "dhcp" | "pxe" | "tftp",
  address: Ipv4,
  port: number,
  broadcast: boolean,
): Promise<Socket> {
  const fd = findInherited(inherited, `${service}-${network.interface}`, "datagram", network.interface);
  if (fd !== undefined) return adoptDatagramSocket(fd, { broadcast });
  return openInterfaceSocket({ interface: network.interface, address, port, broadcast });
}

/** For one probe: between probes, nothing of ours listens on a client's port. */
async function probeSocket({ network, inherited }: NetworkParts): Promise<Socket> {
  const fd = findInherited(inherited, `dhcp-probe-${network.interface}`, "datagram", network.interface);
  if (fd !== undefined) return borrowDatagramSocket(fd);
  return openInterfaceSocket({ interface: network.interface, address: ANY_IPV4, port: CLIENT_PORT, broadcast: true });
}

/** On the network's interface; and where its tgtd has a network namespace to itself, beside that: an OS knows its portal. */
function streamSockets({ network, inherited }: NetworkParts): number[] {
  const { interface: name, address, httpPort: port } = network;
  const own = findInherited(inherited, `http-${name}`, "stream", name);
  const besidePortal = findInherited(inherited, `http-portal-${name}`, "stream");
  return [
    own ?? openInterfaceListener({ interface: name, address, port }),
    ...(besidePortal === undefined ? [] : [besidePortal]),
  ];
}

function closeSocket(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
}
