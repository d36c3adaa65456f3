import type { RemoteInfo, Socket } from "node:dgram";
import type { BootAnswers } from "../boot/boot-answers.ts";
import type { BootEventSink } from "../boot/boot-event.ts";
import type { BootTokens } from "../boot/boot-token.ts";
import type { Clock } from "../clock.ts";
import type { NetworkConfig } from "../config/schema.ts";
import type { LeaseTable } from "../leases/lease-table.ts";
import type { Log } from "../log.ts";
import type { Mac } from "../values/mac.ts";
import { formatMac } from "../values/mac.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../wire/dhcp/message-type.ts";
import { tryReadOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import { answerDhcp, type DhcpAnswer, dhcpSite } from "./answer.ts";
import { randomMac } from "./probe.ts";
import { answerBootServer, answerProxy } from "./proxy.ts";
import { type DhcpServer, startDhcpServer } from "./server.ts";
import type { DhcpStanding } from "./standing.ts";
import { type WatchTimes, watchServers } from "./watch-servers.ts";

/** What the DHCP of one network is made of. */
export type DhcpParts = {
  network: NetworkConfig;
  standing: DhcpStanding;
  leases: LeaseTable;
  answers: BootAnswers;
  tokens: BootTokens;
  isNode: (mac: Mac) => boolean;
  events: BootEventSink;
  /** Bound to ports 67 and 4011 of the interface. */
  sockets: { dhcp: Socket; pxe: Socket };
  /** A socket on port 68 there, for one probe. */
  openProbeSocket: () => Promise<Socket>;
  /** How the search for other servers is paced; tests are in a hurry. */
  times?: WatchTimes;
  clock: Clock;
  log: Log;
};

/** All DHCP of one network, by the part that it plays there: ports 67 and 4011, and the search for other servers. */
export function serveDhcp(parts: DhcpParts): { dhcp: DhcpServer; stop(): Promise<void> } {
  const { network, standing, leases, answers, tokens, isNode, events, sockets, clock, log } = parts;
  const site = dhcpSite(network, leases, answers);
  const proxySite = { network, answers, isNode, tokens };
  const probeMac = randomMac();

  const onDhcp = async (message: DhcpMessage): Promise<DhcpAnswer> => {
    if (formatMac(message.chaddr) === probeMac) return ignored("our own probe");
    noteForeign(message);
    switch (standing.role) {
      case "server":
        return answerDhcp(message, site);
      case "proxy":
        return answerProxy(message, proxySite);
      default:
        return ignored(`dhcp is ${standing.role} on this network`);
    }
  };
  /** A client that takes another server's offer names it in its REQUEST (option 54, RFC 2131 4.3.2). */
  const noteForeign = ({ options, chaddr }: DhcpMessage): void => {
    if (tryReadOption(options, OPTION.messageType) !== MESSAGE_TYPE.request) return;
    const server = tryReadOption(options, OPTION.serverId);
    if (server && standing.saw(server, formatMac(chaddr))) watch.hurry();
  };
  const onPxe = async (message: DhcpMessage, from: RemoteInfo): Promise<DhcpAnswer> => {
    const { role } = standing;
    return role === "server" || role === "proxy"
      ? answerBootServer(message, from, proxySite)
      : ignored(`dhcp is ${role} on this network`);
  };

  const dhcp = startDhcpServer({ network, socket: sockets.dhcp, answer: onDhcp, events, isNode, log, clock });
  const pxe = startDhcpServer({ network, socket: sockets.pxe, answer: onPxe, events, isNode, log, clock });
  standing.counts(dhcp.counters);
  const openSocket = parts.openProbeSocket;
  const { times } = parts;
  const watch = watchServers({ network, standing, mac: probeMac, openSocket, clock, ...(times ? { times } : {}) });
  return {
    dhcp,
    async stop() {
      await watch.stop();
      await Promise.all([dhcp.stop(), pxe.stop()]);
    },
  };
}

function ignored(reason: string): DhcpAnswer {
  return { outcome: "ignored", reason, events: [] };
}
