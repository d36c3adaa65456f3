import { type Ipv4, ipv4FromBytes } from "../values/ipv4.ts";
import { netlinkAttribute, netlinkAttributes, netlinkDump, netlinkGet } from "./netlink.ts";

// <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>, <linux/if.h>
const NETLINK_ROUTE = 0;
const AF_INET = 2;
const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const IFINFOMSG_BYTES = 16;
const IFADDRMSG_BYTES = 8;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFA_LOCAL = 2;
const IFF_UP = 0x1;
const IFF_LOWER_UP = 0x10000;

/** A network interface as the kernel has it now. */
export type InterfaceState = {
  isUp: boolean;
  /** Something answers at the other end of the cable; false as long as the interface is down. */
  hasCarrier: boolean;
  /** Largest packet that fits, in bytes. */
  mtu: number;
  addresses: { address: Ipv4; prefix: number }[];
};

/** The interface of this name in this network namespace, if there is one. Throws UNAVAILABLE. */
export function findInterface(name: string): InterfaceState | undefined {
  const named = netlinkAttribute(IFLA_IFNAME, Buffer.from(`${name}\0`));
  const link = netlinkGet(NETLINK_ROUTE, RTM_GETLINK, Buffer.concat([Buffer.alloc(IFINFOMSG_BYTES), named]));
  if (!link) return undefined;
  const index = link.readInt32LE(4);
  const flags = link.readUInt32LE(8);
  return {
    isUp: (flags & IFF_UP) !== 0,
    hasCarrier: (flags & IFF_LOWER_UP) !== 0,
    mtu: netlinkAttributes(link.subarray(IFINFOMSG_BYTES)).get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
    addresses: listAddresses(index),
  };
}

function listAddresses(index: number): InterfaceState["addresses"] {
  const wanted = Buffer.alloc(IFADDRMSG_BYTES);
  wanted.writeUInt8(AF_INET, 0);
  return netlinkDump(NETLINK_ROUTE, RTM_GETADDR, wanted).flatMap((entry) => {
    const local = netlinkAttributes(entry.subarray(IFADDRMSG_BYTES)).get(IFA_LOCAL);
    if (entry.readUInt32LE(4) !== index || local?.length !== 4) return [];
    return [{ address: ipv4FromBytes(local), prefix: entry.readUInt8(1) }];
  });
}
