import { ANY_IPV4, BROADCAST_IPV4, type Ipv4 } from "../values/ipv4.ts";
import { CLIENT_PORT, SERVER_PORT } from "../wire/dhcp/protocol.ts";

/** What decides where a reply goes: fields of the reply, and whether it is a NAK. */
export type ReplyAddresses = { giaddr: Ipv4; ciaddr: Ipv4; isNak: boolean };

export type Destination = { address: Ipv4; port: number };

/**
 * Where a reply goes (RFC 2131 4.1):
 *
 * | giaddr | reply | ciaddr | to                                  |
 * | ------ | ----- | ------ | ----------------------------------- |
 * | set    | any   | any    | giaddr, server port: the relay's    |
 * | 0      | NAK   | any    | 255.255.255.255, client port        |
 * | 0      | other | set    | ciaddr, client port                 |
 * | 0      | other | 0      | 255.255.255.255, client port        |
 *
 * The last row is the RFC's for a set BROADCAST bit. For a clear one it asks for a frame to yiaddr at chaddr, if the
 * server can send one before the client answers ARP; a UDP socket can't: the datagram would wait for ARP and be lost.
 */
export function replyDestination({ giaddr, ciaddr, isNak }: ReplyAddresses): Destination {
  if (giaddr !== ANY_IPV4) return { address: giaddr, port: SERVER_PORT };
  if (isNak || ciaddr === ANY_IPV4) return { address: BROADCAST_IPV4, port: CLIENT_PORT };
  return { address: ciaddr, port: CLIENT_PORT };
}
