import { type Ipv4, ipv4FromBytes } from "../values/ipv4.ts";
import { netlinkAttributes, netlinkDump } from "./netlink.ts";

// Linux: <linux/sock_diag.h>, <linux/inet_diag.h>, <linux/tcp.h>.
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const AF_INET = 2;
const IPPROTO_TCP = 6;
const INET_DIAG_INFO = 2;
const ESTABLISHED = 1;
const LISTEN = 10;
const REQUEST_BYTES = 56;
const MESSAGE_BYTES = 72;
const LAST_DATA_RECEIVED_AT = 52;

/** A TCP connection to one of our ports. */
export type TcpPeer = {
  local: Ipv4;
  remote: Ipv4;
  /** Since data came in last, as the kernel counts; since the connection was made, where none came yet. */
  silentMs: number;
};

/** A port of this machine. */
export type TcpPort = {
  /** The addresses that somebody listens at; 0.0.0.0 is all of them. */
  open: Ipv4[];
  /** All established connections to it. */
  peers: TcpPeer[];
};

/**
 * Who listens at a TCP port and is connected to it (sock_diag(7)), in one dump, however many there are: in this network
 * namespace, or in that of the netlink socket `fd`. UNAVAILABLE.
 */
export function tcpPort(port: number, fd?: number): TcpPort {
  const request = Buffer.alloc(REQUEST_BYTES);
  request.writeUInt8(AF_INET, 0);
  request.writeUInt8(IPPROTO_TCP, 1);
  request.writeUInt8(1 << (INET_DIAG_INFO - 1), 2);
  request.writeUInt32LE((1 << ESTABLISHED) | (1 << LISTEN), 4);
  request.writeUInt16BE(port, 8);
  const found: TcpPort = { open: [], peers: [] };
  for (const body of netlinkDump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, request, fd)) {
    if (body.readUInt16BE(4) !== port) continue;
    const local = ipv4FromBytes(body.subarray(8, 12));
    if (body.readUInt8(1) === LISTEN) {
      found.open.push(local);
      continue;
    }
    const info = netlinkAttributes(body.subarray(MESSAGE_BYTES)).get(INET_DIAG_INFO);
    if (!info || info.length < LAST_DATA_RECEIVED_AT + 4) continue;
    const silentMs = info.readUInt32LE(LAST_DATA_RECEIVED_AT);
    found.peers.push({ local, remote: ipv4FromBytes(body.subarray(24, 28)), silentMs });
  }
  return found;
}
