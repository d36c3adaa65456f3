import type { Clock } from "../clock.ts";
import type { NetworkConfig } from "../config/schema.ts";
import { ApplianceError } from "../errors.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import { type Ipv4, subnetContains } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import { AddressPool } from "./address-pool.ts";
import { ExpiryWheel } from "./expiry-wheel.ts";
import type { LeaseRecord } from "./lease.ts";
import { Offers } from "./offers.ts";
import { type ServedSubnet, servedSubnets, subnetOf } from "./served-subnet.ts";

const COLLECTION = "leases";
/** How long a declined address rests: somebody who does not ask us uses it. */
export const QUARANTINE_MS = 3_600_000;
/** An exhausted pool is looked through again at most this often: an attacker must not make every packet a scan. */
const REWIND_MS = 10_000;
/** Expired leases dropped in one commit. */
const SWEEP_BATCH = 256;

/** One NIC on one provisioning network: the identity of a lease, so that ROM, iPXE and OS share an address. */
export type LeaseOwner = { network: string; mac: Mac };

/** What a client tells about itself. */
export type LeaseClaim = { hostname?: string; clientId?: string };

/** Fixed addresses that operators gave to NICs, as the lease table sees them. Asked per packet: constant time. */
export interface Reservations {
  reservationFor(mac: Mac, network: string): Ipv4 | undefined;
  /** Whether the address is reserved for any NIC. */
  isReserved(address: Ipv4): boolean;
}

/**
 * Who has which address, on all networks. The records are the truth; the indexes beside them only point into it and are
 * checked at each use, so a commit that fails leaves nothing to mend. Each question costs the same however many leases.
 */
export class LeaseTable {
  readonly #records: Records;
  readonly #leases: Collection<LeaseRecord>;
  readonly #reservations: Reservations;
  readonly #clock: Clock;
  readonly #subnets: ServedSubnet[];
  readonly #pools: Map<ServedSubnet, AddressPool>;
  readonly #offers = new Offers((address) => this.#giveBack(address));
  readonly #wheel = new ExpiryWheel();
  readonly #addressOf = new Map<string, Ipv4>();
  /** Apart, since pins are committed by others, or never: a pin that came to nothing must not hide a lease. */
  readonly #pinOf = new Map<string, Ipv4>();
  #rewoundAt = 0;

  constructor(networks: readonly NetworkConfig[], records: Records, reservations: Reservations, clock: Clock) {
    this.#records = records;
    this.#leases = records.collection<LeaseRecord>(COLLECTION);
    this.#reservations = reservations;
    this.#clock = clock;
    this.#subnets = networks.flatMap(servedSubnets);
    this.#pools = new Map(this.#subnets.map((subnet) => [subnet, new AddressPool(subnet.ranges, subnet.taken)]));
    for (const lease of this.#leases.values()) this.#index(lease);
  }

  /** The subnets of a network, its own first. */
  subnets(network: string): ServedSubnet[] {
    return this.#subnets.filter((subnet) => subnet.network === network);
  }

  /** The lease or pin of this NIC; undefined once it expired. */
  find(owner: LeaseOwner): LeaseRecord | undefined {
    for (const index of [this.#pinOf, this.#addressOf]) {
      const address = index.get(key(owner));
      const lease = address && this.findByAddress(address);
      if (lease && lease.state !== "declined" && key(lease) === key(owner)) return lease;
    }
    return undefined;
  }

  /** The lease, pin or quarantine of this address; undefined once it expired. */
  findByAddress(address: Ipv4): LeaseRecord | undefined {
    const lease = this.#leases.get(address);
    return lease && (lease.state === "pinned" || lease.expiresAt > this.#clock.now()) ? lease : undefined;
  }

  /** Whether this address is this NIC's now, by lease or pin. */
  owns(mac: Mac, address: Ipv4): boolean {
    const lease = this.findByAddress(address);
    return lease !== undefined && lease.mac === mac && lease.state !== "declined";
  }

  /** Everything in force, of one network or of all. Walks through all leases: not for the boot path. */
  list(network?: string): LeaseRecord[] {
    return [...this.#leases.values()].filter(
      (lease) => (network === undefined || lease.network === network) && this.findByAddress(lease.address),
    );
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
    const offered = this.#offers.addressFor(key(owner), this.#clock.now());
    return this.#usable(owner, subnet, lease?.address) ?? this.#usable(owner, subnet, offered);
  }

  /**
   * Chooses an address for a NIC and keeps it for a minute: the assigned one, else the one it wishes for, else the next
   * free one. Undefined when none is left, or when the NIC is pinned to an address outside this subnet.
   */
  offer(owner: LeaseOwner, subnet: ServedSubnet, wanted?: Ipv4): Ipv4 | undefined {
    const pinned = this.find(owner)?.state === "pinned";
    const assigned = this.assigned(owner, subnet);
    if (pinned) return assigned;
    const wish = wanted && this.#poolOf(subnet).contains(wanted) && this.#isFreeFor(owner, wanted) ? wanted : undefined;
    const address = assigned ?? wish ?? this.#takeFree(subnet);
    if (address) this.#offers.hold(key(owner), address, this.#clock.now());
    return address;
  }

  /** Whether a NIC that asks for this address by name may have it: it is the assigned one, or none is and this one is free. */
  mayHave(owner: LeaseOwner, subnet: ServedSubnet, address: Ipv4): boolean {
    if (this.find(owner)?.state === "pinned") return this.assigned(owner, subnet) === address;
    const assigned = this.assigned(owner, subnet);
    if (assigned) return assigned === address;
    return this.#poolOf(subnet).contains(address) && this.#isFreeFor(owner, address);
  }

  /** Forgets what is on offer to this NIC: it took another server's. */
  dropOffer(owner: LeaseOwner): void {
    this.#offers.drop(key(owner));
  }

  /**
   * Gives the address to the NIC for `seconds` from now, or renews it; durable when it resolves. A former lease of the
   * NIC ends; a pin stays one. Rejects with CONFLICT when the address is another's, UNAVAILABLE when it can't be stored.
   */
  async bind(owner: LeaseOwner, address: Ipv4, seconds: number, claim: LeaseClaim = {}): Promise<LeaseRecord> {
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
    await this.#commit([...left, leaseChange(address, lease)]);
    return lease;
  }

  /** Ends the lease of this NIC on this address, as its client asks; false if it had none. A pinned address stays. */
  async release(owner: LeaseOwner, address: Ipv4): Promise<boolean> {
    const lease = this.find(owner);
    if (lease?.address !== address || lease.state === "pinned") return false;
    await this.#commit([leaseChange(address, null)]);
    return true;
  }

  /**
   * A client found its address in use by somebody else (RFC 2131 4.3.3): it rests for an hour. `pinned` is answered for a
   * pinned one, which stays as it is: the node's target and boot entry carry it, so an operator has to find the intruder.
   */
  async decline(owner: LeaseOwner, address: Ipv4): Promise<"quarantined" | "pinned" | "not-theirs"> {
    const lease = this.find(owner);
    const offered = this.#offers.addressFor(key(owner), this.#clock.now()) === address;
    if (lease?.address !== address && !offered) return "not-theirs";
    if (lease?.state === "pinned") return "pinned";
    const expiresAt = this.#clock.now() + QUARANTINE_MS;
    this.dropOffer(owner);
    await this.#commit([leaseChange(address, { address, ...identity(owner), state: "declined", expiresAt })]);
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
    this.#offers.hold(key(owner), address, this.#clock.now());
    this.#pinOf.set(key(owner), address);
    const past = former?.address === address ? former : { expiresAt: 0 };
    const changes = [leaseChange(address, { ...past, ...owner, address, state: "pinned" })];
    if (former && former !== past) {
      this.#giveBack(former.address);
      changes.unshift(leaseChange(former.address, null));
    }
    return { address, changes };
  }

  /** The changes that end the pin of this NIC and leave nothing of it; none when it has none. */
  unpin(mac: Mac, network: string): Change[] {
    const lease = this.find({ network, mac });
    if (lease?.state !== "pinned") return [];
    this.dropOffer(lease);
    this.#giveBack(lease.address);
    return [leaseChange(lease.address, null)];
  }

  /** Drops a batch of expired leases and quarantines; answers how many. To be called from time to time until 0. */
  async sweep(): Promise<number> {
    const due = this.#wheel.takeDue(this.#clock.now(), SWEEP_BATCH);
    const expired = due.filter((address) => this.#leases.get(address) && !this.findByAddress(address));
    if (expired.length > 0) await this.#commit(expired.map((address) => leaseChange(address, null)));
    return due.length;
  }

  /** Commits and keeps the indexes in step, also when the commit is taken back. */
  async #commit(changes: Change[]): Promise<void> {
    const addresses = changes.map((change) => change.key as Ipv4);
    const read = () => addresses.map((address) => this.#leases.get(address));
    const before = read();
    const done = this.#records.commit(changes);
    const after = read();
    this.#reindex(addresses, before, after);
    try {
      await done;
    } catch (error) {
      this.#reindex(addresses, after, read());
      throw error;
    }
  }

  #reindex(addresses: Ipv4[], before: (LeaseRecord | undefined)[], after: (LeaseRecord | undefined)[]): void {
    for (const lease of before) {
      if (lease && this.#addressOf.get(key(lease)) === lease.address) this.#addressOf.delete(key(lease));
    }
    for (const lease of after) if (lease) this.#index(lease);
    for (const [index, address] of addresses.entries()) if (!after[index]) this.#giveBack(address);
  }

  #index(lease: LeaseRecord): void {
    const { state } = lease;
    if (state !== "declined") (state === "pinned" ? this.#pinOf : this.#addressOf).set(key(lease), lease.address);
    if (state !== "pinned") this.#wheel.add(lease.address, lease.expiresAt);
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

  /** No lease, pin, quarantine, offer or reservation of somebody else stands on it. */
  #isFreeFor(owner: LeaseOwner | undefined, address: Ipv4): boolean {
    const lease = this.findByAddress(address);
    if (lease && (lease.state === "declined" || !owner || key(lease) !== key(owner))) return false;
    const offeredTo = this.#offers.clientOf(address, this.#clock.now());
    if (offeredTo && (!owner || offeredTo !== key(owner))) return false;
    if (!this.#reservations.isReserved(address)) return true;
    return owner !== undefined && this.#reservations.reservationFor(owner.mac, owner.network) === address;
  }

  #usable(owner: LeaseOwner, subnet: ServedSubnet, address: Ipv4 | undefined): Ipv4 | undefined {
    return address && subnetContains(subnet.subnet, address) && this.#isFreeFor(owner, address) ? address : undefined;
  }

  #takeFree(subnet: ServedSubnet): Ipv4 | undefined {
    const pool = this.#poolOf(subnet);
    const isFree = (address: Ipv4) => this.#isFreeFor(undefined, address);
    const address = pool.take(isFree);
    const now = this.#clock.now();
    if (address || now < this.#rewoundAt + REWIND_MS) return address;
    this.#rewoundAt = now;
    for (const one of this.#pools.values()) one.rewind();
    return pool.take(isFree);
  }

  #poolOf(subnet: ServedSubnet): AddressPool {
    const pool = this.#pools.get(subnet);
    if (!pool) throw new ApplianceError("INTERNAL", `${subnet.subnet.network} is no subnet of this table`);
    return pool;
  }

  #giveBack(address: Ipv4): void {
    const subnet = subnetOf(this.#subnets, address);
    if (subnet) this.#poolOf(subnet).giveBack(address);
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

function leaseChange(address: Ipv4, value: LeaseRecord | null): Change {
  return { collection: COLLECTION, key: address, value };
}

function key({ network, mac }: LeaseOwner): string {
  return `${network} ${mac}`;
}
