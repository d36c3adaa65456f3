import type { Clock } from "../clock.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import { ExpiryWheel } from "./expiry-wheel.ts";
import type { LeaseRecord } from "./lease.ts";

const COLLECTION = "leases";

/** One NIC on one provisioning network: the identity of a lease, so that ROM, iPXE and OS share an address. */
export type LeaseOwner = { network: string; mac: Mac };

/** An owner as a map key. */
export function ownerKey({ network, mac }: LeaseOwner): string {
  return `${network} ${mac}`;
}

/** The change that stores a lease, or removes it with `null`. */
export function leaseChange(address: Ipv4, lease: LeaseRecord | null): Change {
  return { collection: COLLECTION, key: address, value: lease };
}

/**
 * The lease records, found by address and by owner in constant time. The records are the truth; the indexes only point
 * into them and are checked at each use, so records that others commit, or a commit taken back, never mislead.
 */
export class LeaseIndex {
  readonly #records: Records;
  readonly #leases: Collection<LeaseRecord>;
  readonly #clock: Clock;
  readonly #onUse: (address: Ipv4, inUse: boolean) => void;
  readonly #wheel = new ExpiryWheel();
  readonly #addressOf = new Map<string, Ipv4>();
  /** Apart, since pins are committed by others, or never: a pin that came to nothing must not hide a lease. */
  readonly #pinOf = new Map<string, Ipv4>();

  /** `onUse` hears of each record that there is, and of those that `commit` adds or removes. */
  constructor(records: Records, clock: Clock, onUse: (address: Ipv4, inUse: boolean) => void) {
    this.#records = records;
    this.#leases = records.collection<LeaseRecord>(COLLECTION);
    this.#clock = clock;
    this.#onUse = onUse;
    for (const lease of this.#leases.values()) this.#add(lease);
  }

  /** The lease or pin of this NIC; undefined once it expired. */
  find(owner: LeaseOwner): LeaseRecord | undefined {
    const key = ownerKey(owner);
    for (const index of [this.#pinOf, this.#addressOf]) {
      const address = index.get(key);
      const lease = address && this.findByAddress(address);
      if (lease && lease.state !== "declined" && ownerKey(lease) === key) return lease;
    }
    return undefined;
  }

  /** The lease, pin or quarantine of this address; undefined once it expired. */
  findByAddress(address: Ipv4): LeaseRecord | undefined {
    const lease = this.#leases.get(address);
    return lease && (lease.state === "pinned" || lease.expiresAt > this.#clock.now()) ? lease : undefined;
  }

  /** Everything in force. Walks through all records: not for the boot path. */
  list(): LeaseRecord[] {
    return [...this.#leases.values()].filter((lease) => this.findByAddress(lease.address));
  }

  /** Commits changes made by leaseChange: in force when it returns, durable when it resolves, as before when it rejects. */
  async commit(changes: Change[]): Promise<void> {
    const addresses = changes.map((change) => change.key as Ipv4);
    const read = () => addresses.map((address) => this.#leases.get(address));
    const before = read();
    const done = this.#records.commit(changes);
    const after = read();
    this.#follow(addresses, before, after);
    try {
      await done;
    } catch (error) {
      this.#follow(addresses, after, read());
      throw error;
    }
  }

  /** Somebody else is about to commit a pin of this NIC to this address. */
  expectPin(owner: LeaseOwner, address: Ipv4): void {
    this.#pinOf.set(ownerKey(owner), address);
  }

  /** Removes a batch of expired records; answers how many hints of expiry it followed. */
  async dropExpired(limit: number): Promise<number> {
    const due = this.#wheel.takeDue(this.#clock.now(), limit);
    const expired: Ipv4[] = [];
    for (const address of due) {
      const lease = this.#leases.get(address);
      if (lease && !this.findByAddress(address)) expired.push(address);
      else if (lease && lease.state !== "pinned") this.#wheel.add(address, lease.expiresAt);
    }
    if (expired.length > 0) await this.commit(expired.map((address) => leaseChange(address, null)));
    return due.length;
  }

  #follow(addresses: Ipv4[], before: (LeaseRecord | undefined)[], after: (LeaseRecord | undefined)[]): void {
    for (const lease of before) {
      if (lease && this.#addressOf.get(ownerKey(lease)) === lease.address) this.#addressOf.delete(ownerKey(lease));
    }
    for (const lease of after) if (lease) this.#add(lease);
    for (const [index, address] of addresses.entries()) if (!after[index]) this.#onUse(address, false);
  }

  #add(lease: LeaseRecord): void {
    const { state } = lease;
    if (state !== "declined") (state === "pinned" ? this.#pinOf : this.#addressOf).set(ownerKey(lease), lease.address);
    if (state !== "pinned") this.#wheel.add(lease.address, lease.expiresAt);
    this.#onUse(lease.address, true);
  }
}
