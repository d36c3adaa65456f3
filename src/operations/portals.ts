import type { NetworkConfig } from "../config/schema.ts";
import { findInherited, type InheritedSocket } from "../net/inherited-sockets.ts";
import { type TcpPeer, tcpPort } from "../net/tcp-peers.ts";

/** What the kernel tells of a network's portals. */
export type PortalView = {
  /** Whether they are in a network namespace of tgtd's own, where this process can't connect to them. */
  isApart: boolean;
  /** Those that are listened at, as "address:port". */
  open: Set<string>;
  /** Who is connected to them. */
  peers: TcpPeer[];
};

/** Looks at a network's portals, however many are connected; UNAVAILABLE when the kernel does not tell. */
export type LookAtPortals = (network: NetworkConfig) => PortalView;

/**
 * The portals are where tgtd is: in this network namespace, unless systemd opened a netlink socket in another one for that
 * (`peers-INTERFACE`). That is its only use: this process has no right to enter a namespace, and needs none.
 */
export function createPortalView(inherited: Map<string, InheritedSocket[]>): LookAtPortals {
  return ({ interface: name, portals }) => {
    const fd = findInherited(inherited, `peers-${name}`, "netlink");
    const view: PortalView = { isApart: fd !== undefined, open: new Set(), peers: [] };
    for (const port of new Set(portals.map((portal) => portal.port))) {
      const { open, peers } = tcpPort(port, fd);
      view.peers.push(...peers);
      for (const portal of portals) {
        const isOpen = portal.port === port && open.some((one) => one === portal.address || one === "0.0.0.0");
        if (isOpen) view.open.add(`${portal.address}:${port}`);
      }
    }
    return view;
  };
}
