import koffi from "koffi";
import { type Ipv4, ipv4Bytes } from "../values/ipv4.ts";
import { formatMac, type Mac } from "../values/mac.ts";
import { netlinkAttribute, netlinkAttributes, netlinkGet } from "./netlink.ts";

// <linux/netlink.h>, <linux/rtnetlink.h>, <linux/neighbour.h>
const AF_INET = 2;
const NETLINK_ROUTE = 0;
const RTM_GETNEIGH = 30;
const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_INCOMPLETE = 0x01;
const NUD_FAILED = 0x20;

const libc = koffi.load("libc.so.6");
const indexOf = libc.func("unsigned int if_nametoindex(const char *name)");

/**
 * The hardware address behind an address on an interface, as the kernel's neighbour table has it: known for everybody
 * whose packets were just answered there. One look-up of one entry (RTM_GETNEIGH, Linux 5.0). Undefined for unknown
 * addresses, those behind a router, and an interface that is gone. Throws UNAVAILABLE.
 */
export function findNeighbour(interfaceName: string, address: Ipv4): Mac | undefined {
  const index: number = indexOf(interfaceName);
  if (index === 0) return undefined;
  const fixed = Buffer.alloc(NDMSG_BYTES);
  fixed.writeUInt8(AF_INET, 0);
  fixed.writeInt32LE(index, 4);
  const request = Buffer.concat([fixed, netlinkAttribute(NDA_DST, ipv4Bytes(address))]);
  const entry = netlinkGet(NETLINK_ROUTE, RTM_GETNEIGH, request);
  if (!entry || (entry.readUInt16LE(8) & (NUD_INCOMPLETE | NUD_FAILED)) !== 0) return undefined;
  const hardware = netlinkAttributes(entry.subarray(NDMSG_BYTES)).get(NDA_LLADDR);
  return hardware?.length === 6 ? formatMac(hardware) : undefined;
}
