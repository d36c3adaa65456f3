import type { NetworkConfig } from "../config/schema.ts";
import { broadcastAddress, type Ipv4, type Subnet, subnetContains } from "../values/ipv4.ts";
import type { AddressRange } from "./address-pool.ts";

/** One subnet whose addresses are given out: the network's own, or one behind a DHCP relay. */
export type ServedSubnet = {
  /** Name of the provisioning network that it belongs to. */
  network: string;
  subnet: Subnet;
  /** Where machines without a fixed address get theirs. */
  ranges: readonly AddressRange[];
  /** Addresses of this subnet that no machine may have: they are somebody's already. */
  taken: ReadonlySet<Ipv4>;
  router: Ipv4 | undefined;
};

/** All subnets of a network, its own first. */
export function servedSubnets(network: NetworkConfig): ServedSubnet[] {
  const own = { subnet: network.subnet, pool: network.pool, router: network.router };
  return [own, ...network.relayedSubnets].map(({ subnet, pool, router }) => ({
    network: network.name,
    subnet,
    ranges: pool,
    taken: new Set([subnet.network, broadcastAddress(subnet), ...namedAddresses(network)]),
    router,
  }));
}

/** The subnet that an address lies in. */
export function subnetOf(subnets: readonly ServedSubnet[], address: Ipv4): ServedSubnet | undefined {
  return subnets.find(({ subnet }) => subnetContains(subnet, address));
}

/** Whatever the configuration calls by its address is a machine of its own. */
function namedAddresses(network: NetworkConfig): Ipv4[] {
  return [
    network.address,
    ...network.portals.map((portal) => portal.address),
    ...(network.router ? [network.router] : []),
    ...network.relayedSubnets.flatMap((relayed) => (relayed.router ? [relayed.router] : [])),
    ...network.routes.map((route) => route.gateway),
    ...network.dns,
    ...network.ntp,
    ...network.exclude,
  ];
}
