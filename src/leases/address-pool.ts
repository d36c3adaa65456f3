import { type Ipv4, ipv4FromNumber, ipv4ToNumber } from "../values/ipv4.ts";

/** `to` belongs to the range. */
export type AddressRange = { readonly from: Ipv4; readonly to: Ipv4 };

/**
 * The order in which addresses of some ranges are given out: first those never used, then those given back, longest
 * ago first (RFC 2131 4.3.1 wants an address rested). It proposes, the caller judges: an address is looked at once
 * per round or return, so taking one costs the same however many leases there are.
 */
export class AddressPool {
  readonly #ranges: { from: number; to: number }[];
  readonly #never: ReadonlySet<Ipv4>;
  /** In order of return. */
  readonly #returned = new Set<Ipv4>();
  #range = 0;
  #offset = 0;

  constructor(ranges: readonly AddressRange[], never: ReadonlySet<Ipv4>) {
    this.#ranges = ranges.map(({ from, to }) => ({ from: ipv4ToNumber(from), to: ipv4ToNumber(to) }));
    this.#never = never;
  }

  /** Whether the address may come from this pool at all. */
  contains(address: Ipv4): boolean {
    if (this.#never.has(address)) return false;
    const number = ipv4ToNumber(address);
    return this.#ranges.some(({ from, to }) => from <= number && number <= to);
  }

  /** The next address that is free in the caller's eyes; undefined at the end of the round. */
  take(isFree: (address: Ipv4) => boolean): Ipv4 | undefined {
    for (let address = this.#neverUsed(); address; address = this.#neverUsed()) if (isFree(address)) return address;
    for (const address of this.#returned) {
      this.#returned.delete(address);
      if (isFree(address)) return address;
    }
    return undefined;
  }

  /** The address may be proposed again. Foreign addresses are ignored; returning twice does no harm. */
  giveBack(address: Ipv4): void {
    if (!this.contains(address)) return;
    this.#returned.delete(address);
    this.#returned.add(address);
  }

  /** Starts a new round, for addresses that became free without being given back. */
  rewind(): void {
    this.#range = 0;
    this.#offset = 0;
  }

  #neverUsed(): Ipv4 | undefined {
    for (let range = this.#ranges[this.#range]; range; range = this.#ranges[++this.#range], this.#offset = 0) {
      while (range.from + this.#offset <= range.to) {
        const address = ipv4FromNumber(range.from + this.#offset++);
        if (!this.#never.has(address)) return address;
      }
    }
    return undefined;
  }
}
