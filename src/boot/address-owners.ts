import type { Clock } from "../clock.ts";
import type { NetworkConfig } from "../config/schema.ts";
import type { LeaseRecord } from "../leases/lease.ts";
import type { Records } from "../store/records.ts";
import { type Ipv4, subnetContains } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { BootTokens } from "./boot-token.ts";

/** Tells whose an address is now, as far as that can be known on its network. */
export interface AddressOwners {
  /** The NIC that this address belongs to, if any. */
  ownerOf(address: Ipv4, network: string): Mac | undefined;
  /** Whether this NIC asks from this address; `token` is what the URL carried that it asks by. */
  owns(mac: Mac, address: Ipv4, network: string, token?: string): boolean;
  /** Whether this NIC's OS may report from this address: it knows no token. */
  reports(mac: Mac, address: Ipv4, network: string): boolean;
}

/** Where we give the addresses: by lease or pin. */
export function leaseOwners(records: Records, clock: Clock): AddressOwners {
  const leases = records.collection<LeaseRecord>("leases");
  const ownerOf = (address: Ipv4, network: string): Mac | undefined => {
    const lease = leases.get(address);
    if (!lease || lease.network !== network || lease.state === "declined") return undefined;
    return lease.state === "pinned" || lease.expiresAt > clock.now() ? lease.mac : undefined;
  };
  const owns = (mac: Mac, address: Ipv4, network: string) => ownerOf(address, network) === mac;
  return { ownerOf, owns, reports: owns };
}

export type LinkKnowledge = {
  networks: readonly Pick<NetworkConfig, "name" | "interface" | "subnet" | "relayedSubnets">[];
  /** Who has this address on an interface, as the kernel knows (`findNeighbour`). */
  neighbour: (interfaceName: string, address: Ipv4) => Mac | undefined;
  tokens: BootTokens;
  /** Where the current boot of this NIC got its script, if it did. */
  servedAt: (mac: Mac) => Ipv4 | undefined;
};

/**
 * Where another server gives the addresses: on the link by the kernel's neighbour table, in the network's relayed subnets
 * by a boot token. A token counts there alone: on the link it could have been overheard, and elsewhere none is given.
 */
export function linkOwners({ networks, neighbour, tokens, servedAt }: LinkKnowledge): AddressOwners {
  const linkOf = (address: Ipv4, name: string) => {
    const network = networks.find((one) => one.name === name);
    return network && subnetContains(network.subnet, address) ? network.interface : undefined;
  };
  const ownerOf = (address: Ipv4, network: string) => {
    const link = linkOf(address, network);
    return link === undefined ? undefined : neighbour(link, address);
  };
  return {
    ownerOf,
    owns(mac, address, network, token) {
      if (linkOf(address, network) !== undefined) return ownerOf(address, network) === mac;
      const relayed = networks.find((one) => one.name === network)?.relayedSubnets ?? [];
      if (!relayed.some(({ subnet }) => subnetContains(subnet, address))) return false;
      return token !== undefined && tokens.fits(token, mac, network);
    },
    reports(mac, address, network) {
      if (linkOf(address, network) !== undefined) return ownerOf(address, network) === mac;
      return servedAt(mac) === address;
    },
  };
}

/** Asks whom `choose` names for a network, anew each time: what is known of addresses may change under way. */
export function chosenOwners(choose: (network: string) => AddressOwners): AddressOwners {
  return {
    ownerOf: (address, network) => choose(network).ownerOf(address, network),
    owns: (mac, address, network, token) => choose(network).owns(mac, address, network, token),
    reports: (mac, address, network) => choose(network).reports(mac, address, network),
  };
}
