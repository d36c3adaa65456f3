import type { Clock } from "../clock.ts";
import type { NetworkConfig } from "../config/schema.ts";
import { ApplianceError } from "../errors.ts";
import type { Change, Records } from "../store/records.ts";
import { type Ipv4, subnetContains } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import { AddressPool } from "./address-pool.ts";
import type { LeaseRecord } from "./lease.ts";
import { LeaseIndex, type LeaseOwner, leaseChange, ownerKey } from "./lease-index.ts";
import { Offers } from "./offers.ts";
import { type ServedSubnet, servedSubnets, subnetOf } from "./served-subnet.ts";

/** How long a declined address rests: somebody who does not ask us uses it. */
export const QUARANTINE_MS = 3_600_000;
/**
 * A tenth of each pool, rounded down, is for registered NICs alone, and the first lease of any other is short: invented
 * MACs can't take a registered node's address, and give back what they took soon.
 */
const NODES_SHARE = 0.1;
export const STRANGER_SECONDS = 300;
/** A lease with less left than this is no answer to a renewal that can't be stored: its client would ask again at once. */
const LEAST_KEPT_SECONDS = 10;
/** Expired leases dropped in one commit. */
const SWEEP_BATCH = 256;

/** What a client tells about itself. */
export type LeaseClaim = { hostname?: string; clientId?: string };

/** Fixed addresses that operators gave to NICs, as the lease table sees them. Asked per packet: constant time. */
export interface Reservations {
  reservationFor(mac: Mac, network: string): Ipv4 | undefined;
  /** Whether the address is reserved for any NIC. */
  isReserved(address: Ipv4): boolean;
  /** Whether a node has this NIC. */
  isRegistered(mac: Mac): boolean;
}

/** Who has, and who gets, which address, on all networks. Each question costs the same however many leases there are. */
export class LeaseTable {
  readonly #leases: LeaseIndex;
  readonly #reservations: Reservations;
  readonly #clock: Clock;
  readonly #subnets: ServedSubnet[];
  readonly #pools: Map<ServedSubnet, AddressPool>;
  readonly #offers = new Offers((address) => this.#markInUse(address, this.findByAddress(address) !== undefined));

  constructor(networks: readonly NetworkConfig[], records: Records, reservations: Reservations, clock: Clock) {
    this.#reservations = reservations;
    this.#clock = clock;
    this.#subnets = networks.flatMap(servedSubnets);
    this.#pools = new Map(this.#subnets.map((subnet) => [subnet, new AddressPool(subnet.ranges, subnet.taken)]));
    this.#leases = new LeaseIndex(records, clock, (address, inUse) => this.#markInUse(address, inUse));
  }

  /** The subnets of a network, its own first. */
  subnets(network: string): ServedSubnet[] {
    return this.#subnets.filter((subnet) => subnet.network === network);
  }

  /** The lease or pin of this NIC; undefined once it expired. */
  find(owner: LeaseOwner): LeaseRecord | undefined {
    return this.#leases.find(owner);
  }

  /** The lease, pin or quarantine of this address; undefined once it expired. */
  findByAddress(address: Ipv4): LeaseRecord | undefined {
    return this.#leases.findByAddress(address);
  }

  /** Everything in force, of one network or of all. Walks through all leases: not for the boot path. */
  list(network?: string): LeaseRecord[] {
    return this.#leases.list().filter((lease) => network === undefined || lease.network === network);
  }

  /** The address in this subnet that this NIC has for good: pinned, or else reserved. */
  fixed(owner: LeaseOwner, subnet: ServedSubnet): Ipv4 | undefined {
    const lease = this.find(owner);
    if (lease?.state === "pinned") return subnetContains(subnet.subnet, lease.address) ? lease.address : undefined;
    return this.#usable(owner, subnet, this.#reservations.reservationFor(owner.mac, owner.network));
  }

  /** The address that this NIC is to have in this subnet: pinned, reserved, leased or on offer, in this order. */
  assigned(owner: LeaseOwner, subnet: ServedSubnet): Ipv4 | undefined {
    const fixed = this.fixed(owner, subnet);
    const lease = this.find(owner);
    if (fixed || lease?.state === "pinned") return fixed;
    const offered = this.#offers.addressFor(ownerKey(owner), this.#clock.now());
    return this.#usable(owner, subnet, lease?.address) ?? this.#usable(owner, subnet, offered);
  }

  /**
   * Chooses an address for a NIC and keeps it for a minute: the assigned one, else the one it wishes for, else the next
   * free one. Undefined when none is left for it, or when the NIC is pinned to an address outside this subnet.
   */
  offer(owner: LeaseOwner, subnet: ServedSubnet, wanted?: Ipv4): Ipv4 | undefined {
    this.#offers.endExpired(this.#clock.now());
    const pinned = this.find(owner)?.state === "pinned";
    const assigned = this.assigned(owner, subnet);
    if (pinned) return assigned;
    const address = assigned ?? (this.#hasShare(owner, subnet) ? this.#choose(owner, subnet, wanted) : undefined);
    if (address) this.#hold(owner, address);
    return address;
  }

  /** Whether a NIC that asks for this address by name may have it: it is the assigned one, or none is and this one is free. */
  mayHave(owner: LeaseOwner, subnet: ServedSubnet, address: Ipv4): boolean {
    if (this.find(owner)?.state === "pinned") return this.assigned(owner, subnet) === address;
    const assigned = this.assigned(owner, subnet);
    if (assigned) return assigned === address;
    return this.#hasShare(owner, subnet) && this.#mayTake(owner, subnet, address);
  }

  /** How long a lease of `seconds` on this address is for this NIC: less while nothing but its own word speaks for it. */
  grantedSeconds(owner: LeaseOwner, address: Ipv4, seconds: number): number {
    if (seconds <= STRANGER_SECONDS || this.#reservations.isRegistered(owner.mac)) return seconds;
    const kept = this.#secondsLeft(owner, address);
    // it has used a good part of its short lease, or was found worth a long one
    const isProven = kept > STRANGER_SECONDS || (kept > 0 && kept < (STRANGER_SECONDS * 2) / 3);
    return isProven ? seconds : STRANGER_SECONDS;
  }

  /** Forgets what is on offer to this NIC: it took another server's. */
  dropOffer(owner: LeaseOwner): void {
    this.#offers.drop(ownerKey(owner));
  }

  /**
   * Gives the address to the NIC for `seconds` from now, or renews it; durable when it resolves. A former lease of the
   * NIC ends; a pin stays one. Resolves with the seconds that it may be told: what is left of its lease on this address,
   * when the disk takes no renewal. Rejects with CONFLICT when the address is another's, UNAVAILABLE when it can't be
   * stored.
   */
  async bind(owner: LeaseOwner, address: Ipv4, seconds: number, claim: LeaseClaim = {}): Promise<number> {
    if (!this.#isFreeFor(owner, address)) throw this.#taken(address);
    const former = this.find(owner);
    if (former?.state === "pinned" && former.address !== address) throw this.#taken(address);
    const lease: LeaseRecord = {
      ...claim,
      address,
      ...identity(owner),
      state: former?.state === "pinned" ? "pinned" : "bound",
      expiresAt: this.#clock.now() + seconds * 1000,
    };
    this.dropOffer(owner);
    const left = former && former.address !== address ? [leaseChange(former.address, null)] : [];
    try {
      await this.#leases.commit([...left, leaseChange(address, lease)]);
      return seconds;
    } catch (error) {
      const kept = this.#secondsLeft(owner, address);
      if (kept < LEAST_KEPT_SECONDS) throw error;
      return Math.min(kept, seconds);
    }
  }

  /** How long this NIC has this address by what is on disk. */
  #secondsLeft(owner: LeaseOwner, address: Ipv4): number {
    const lease = this.find(owner);
    if (lease?.address !== address) return 0;
    return lease.state === "pinned"
      ? Number.POSITIVE_INFINITY
      : Math.floor((lease.expiresAt - this.#clock.now()) / 1000);
  }

  /** Ends the lease of this NIC on this address, as its client asks; false if it had none. A pinned address stays. */
  async release(owner: LeaseOwner, address: Ipv4): Promise<boolean> {
    const lease = this.find(owner);
    if (lease?.address !== address || lease.state === "pinned") return false;
    await this.#leases.commit([leaseChange(address, null)]);
    return true;
  }

  /**
   * A client found its address in use by somebody else (RFC 2131 4.3.3): it rests for an hour. `pinned` and `reserved` are
   * answered for one that is fixed, which stays as it is: the node is known by it, so an operator has to find the intruder.
   */
  async decline(owner: LeaseOwner, address: Ipv4): Promise<"quarantined" | "pinned" | "reserved" | "not-theirs"> {
    const lease = this.find(owner);
    const offered = this.#offers.addressFor(ownerKey(owner), this.#clock.now()) === address;
    if (lease?.address !== address && !offered) return "not-theirs";
    if (lease?.state === "pinned") return "pinned";
    if (this.#reservations.reservationFor(owner.mac, owner.network) === address) return "reserved";
    const expiresAt = this.#clock.now() + QUARANTINE_MS;
    this.dropOffer(owner);
    await this.#leases.commit([leaseChange(address, { address, ...identity(owner), state: "declined", expiresAt })]);
    return "quarantined";
  }

  /**
   * Fixes the address of a NIC until `unpin`, whether its client renews or not: `wished` if given, else the one pinned,
   * reserved or leased already, else a free one. Answers the changes that do it, for the caller to commit with its own;
   * until then the address is kept as an offer is. May be called twice.
   * Throws INVALID (outside the network), CONFLICT (another's, or this NIC is pinned to another one), NO_ADDRESS.
   */
  pin(mac: Mac, network: string, wished?: Ipv4): { address: Ipv4; changes: Change[] } {
    const owner = { network, mac };
    const former = this.find(owner);
    const address = wished ?? (former?.state === "pinned" ? former.address : this.#choosePin(owner));
    if (former?.state === "pinned" && former.address !== address) throw this.#taken(former.address);
    const subnet = subnetOf(this.subnets(network), address);
    if (!subnet || subnet.taken.has(address)) {
      throw new ApplianceError("INVALID", `${address} is no address for a node of network ${network}`, {
        details: { field: "address", value: address, remedy: "choose a free address of the network's subnets" },
      });
    }
    if (!this.#isFreeFor(owner, address)) throw this.#taken(address);
    this.#hold(owner, address);
    this.#leases.expectPin(owner, address);
    const past = former?.address === address ? former : { expiresAt: 0 };
    const changes = [leaseChange(address, { ...past, ...owner, address, state: "pinned" })];
    if (former && former !== past) {
      this.#markInUse(former.address, false);
      changes.unshift(leaseChange(former.address, null));
    }
    return { address, changes };
  }

  /** The changes that end the pin of this NIC and leave nothing of it; none when it has none. */
  unpin(mac: Mac, network: string): Change[] {
    const lease = this.find({ network, mac });
    if (lease?.state !== "pinned") return [];
    this.dropOffer(lease);
    this.#markInUse(lease.address, false);
    return [leaseChange(lease.address, null)];
  }

  /** Drops a batch of expired leases and quarantines. To be called from time to time, until it answers 0. */
  sweep(): Promise<number> {
    return this.#leases.dropExpired(SWEEP_BATCH);
  }

  #choosePin(owner: LeaseOwner): Ipv4 {
    const reserved = this.#reservations.reservationFor(owner.mac, owner.network);
    if (reserved) return reserved;
    const [own] = this.subnets(owner.network);
    const leased = this.find(owner)?.address;
    const chosen = leased && this.#isFreeFor(owner, leased) ? leased : own && this.offer(owner, own);
    if (chosen) return chosen;
    throw new ApplianceError("NO_ADDRESS", `network ${owner.network} has no free address left`, {
      details: { remedy: "extend the pool in the configuration, or give the NIC a fixed address" },
    });
  }

  /** Whether no quarantine, and no lease, pin, offer or reservation of somebody else stands on it. */
  #isFreeFor(owner: LeaseOwner | undefined, address: Ipv4): boolean {
    const lease = this.findByAddress(address);
    const isOwn = lease && owner && ownerKey(lease) === ownerKey(owner);
    if (isOwn && lease.state === "pinned") return true;
    if (lease && (lease.state === "declined" || !isOwn)) return false;
    const offeredTo = this.#offers.clientOf(address, this.#clock.now());
    if (offeredTo && (!owner || offeredTo !== ownerKey(owner))) return false;
    if (!this.#reservations.isReserved(address)) return true;
    return owner !== undefined && this.#reservations.reservationFor(owner.mac, owner.network) === address;
  }

  #usable(owner: LeaseOwner, subnet: ServedSubnet, address: Ipv4 | undefined): Ipv4 | undefined {
    return address && subnetContains(subnet.subnet, address) && this.#isFreeFor(owner, address) ? address : undefined;
  }

  #choose(owner: LeaseOwner, subnet: ServedSubnet, wanted: Ipv4 | undefined): Ipv4 | undefined {
    if (wanted && this.#mayTake(owner, subnet, wanted)) return wanted;
    return this.#poolOf(subnet).take((address) => this.#isFreeFor(undefined, address));
  }

  #mayTake(owner: LeaseOwner, subnet: ServedSubnet, address: Ipv4): boolean {
    return this.#poolOf(subnet).contains(address) && this.#isFreeFor(owner, address);
  }

  /** Whether the pool has something left for this NIC, as far as its marks tell. */
  #hasShare({ mac }: LeaseOwner, subnet: ServedSubnet): boolean {
    const { size, unused } = this.#poolOf(subnet);
    return unused > Math.floor(size * NODES_SHARE) || this.#reservations.isRegistered(mac);
  }

  #hold(owner: LeaseOwner, address: Ipv4): void {
    this.#offers.hold(ownerKey(owner), address, this.#clock.now());
    this.#markInUse(address, true);
  }

  #poolOf(subnet: ServedSubnet): AddressPool {
    const pool = this.#pools.get(subnet);
    if (!pool) throw new ApplianceError("INTERNAL", `${subnet.subnet.network} is no subnet of this table`);
    return pool;
  }

  #markInUse(address: Ipv4, inUse: boolean): void {
    const subnet = subnetOf(this.#subnets, address);
    if (subnet) this.#poolOf(subnet).setInUse(address, inUse);
  }

  #taken(address: Ipv4): ApplianceError {
    const { mac, state } = this.findByAddress(address) ?? { mac: undefined, state: "reserved" };
    return new ApplianceError("CONFLICT", `${address} is ${state}`, {
      details: {
        field: "address",
        value: address,
        state,
        mac,
        remedy: "choose another address, or end its present use",
      },
    });
  }
}

function identity({ network, mac }: LeaseOwner): LeaseOwner {
  return { network, mac };
}
