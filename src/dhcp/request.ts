import type { LeaseOwner } from "../leases/lease-index.ts";
import { type ServedSubnet, subnetOf } from "../leases/served-subnet.ts";
import { ANY_IPV4, type Ipv4 } from "../values/ipv4.ts";
import { formatMac } from "../values/mac.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../wire/dhcp/message-type.ts";
import { readOption, tryReadOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import { RELAY_OPTION } from "../wire/dhcp/relay-options.ts";

/**
 * What a client wants, with DHCPREQUEST told apart by its client's state (RFC 2131 4.3.2). `extending` is RENEWING and
 * REBINDING: they differ in how the datagram travelled, and get the same answer.
 */
export type RequestKind =
  | "discover"
  | "selecting"
  | "init-reboot"
  | "extending"
  | "decline"
  | "release"
  | "inform"
  | "bootp";

/** A request in the terms in which it is judged. */
export type DhcpRequest = {
  message: DhcpMessage;
  kind: RequestKind;
  owner: LeaseOwner;
  /** Where the client sits. */
  subnet: ServedSubnet;
  /** Option 50: the address that it asks for, confirms or declines. */
  requested?: Ipv4;
  /** Option 54: the server that it means. */
  serverId?: Ipv4;
};

/**
 * The request that a message is, for a network of these subnets. Undefined for what gets no answer: replies, other
 * message types, hardware other than Ethernet, subnets not served, a DHCPREQUEST of no state. Throws INVALID for
 * malformed options.
 */
export function readRequest(
  message: DhcpMessage,
  network: string,
  subnets: readonly ServedSubnet[],
): DhcpRequest | undefined {
  if (message.op !== "request" || message.htype !== 1 || message.hlen !== 6) return undefined;
  const requested = readOption(message.options, OPTION.requestedAddress);
  const serverId = readOption(message.options, OPTION.serverId);
  const kind = requestKind(message, requested, serverId);
  const subnet = clientSubnet(message, subnets);
  if (!kind || !subnet) return undefined;
  const owner = { network, mac: formatMac(message.chaddr) };
  return { message, kind, owner, subnet, ...(requested ? { requested } : {}), ...(serverId ? { serverId } : {}) };
}

function requestKind(message: DhcpMessage, requested?: Ipv4, serverId?: Ipv4): RequestKind | undefined {
  const type = readOption(message.options, OPTION.messageType);
  switch (type) {
    case undefined:
      return "bootp"; // RFC 1534: no message type, whether or not there are options
    case MESSAGE_TYPE.discover:
      return "discover";
    case MESSAGE_TYPE.decline:
      return "decline";
    case MESSAGE_TYPE.release:
      return "release";
    case MESSAGE_TYPE.inform:
      return "inform";
    case MESSAGE_TYPE.request:
      if (serverId && requested) return "selecting";
      if (message.ciaddr !== ANY_IPV4) return "extending";
      return requested ? "init-reboot" : undefined;
    default:
      return undefined;
  }
}

/**
 * The subnet that the client sits in: the one the relay names (RFC 3527) or stands in; without a relay, the one of the
 * address in use, for clients behind a relay that renew directly; else the network's own.
 */
function clientSubnet(message: DhcpMessage, subnets: readonly ServedSubnet[]): ServedSubnet | undefined {
  if (message.giaddr === ANY_IPV4) return subnetOf(subnets, message.ciaddr) ?? subnets[0];
  const relayAgent = tryReadOption(message.options, OPTION.relayAgent);
  const link = relayAgent && tryReadOption(relayAgent, RELAY_OPTION.linkSelection);
  return subnetOf(subnets, link ?? message.giaddr);
}
