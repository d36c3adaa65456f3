import { type Ipv4, ipv4FromNumber, ipv4ToNumber } from "../values/ipv4.ts";

/** `to` belongs to the range. */
export type AddressRange = { readonly from: Ipv4; readonly to: Ipv4 };

/** The most that one search looks at: words of the bitmap, and addresses that the caller judges. */
const MOST_WORDS = 65_536;
const MOST_JUDGED = 256;

const FULL = 0xffffffff;

/**
 * Which addresses of some ranges are next to be given out: in turn, so that one that came back rests while all others
 * are tried (RFC 2131 4.3.1). One bit per address says that it is in use; the bit only hints and the caller judges, so
 * that finding one costs about the same however many leases there are.
 */
export class AddressPool {
  /** `first`: the index of `from` among all addresses of the pool. */
  readonly #ranges: { from: number; to: number; first: number }[] = [];
  readonly #never: ReadonlySet<Ipv4>;
  /** Of all addresses, those that are never given out included. */
  readonly #count: number;
  readonly #inUse: Uint32Array;
  readonly #size: number;
  #used = 0;
  /** Index of the address that was proposed last. */
  #last = -1;

  constructor(ranges: readonly AddressRange[], never: ReadonlySet<Ipv4>) {
    let count = 0;
    for (const range of ranges) {
      const [from, to] = [ipv4ToNumber(range.from), ipv4ToNumber(range.to)];
      this.#ranges.push({ from, to, first: count });
      count += to - from + 1;
    }
    this.#never = never;
    this.#count = count;
    this.#inUse = new Uint32Array(Math.ceil(count / 32));
    this.#size = count - [...never].filter((address) => this.#indexOf(address) !== undefined).length;
    // what can't be given out is marked for good, and counted nowhere
    for (let index = count; index < this.#inUse.length * 32; index++) this.#mark(index, true);
    for (const address of never) this.#mark(this.#indexOf(address), true);
    this.#used = 0;
  }

  /** Addresses that can be given out at all, in use or not. */
  get size(): number {
    return this.#size;
  }

  /** Those of them not marked as in use. */
  get unused(): number {
    return this.#size - this.#used;
  }

  /** Whether the address may come from this pool at all. */
  contains(address: Ipv4): boolean {
    return !this.#never.has(address) && this.#indexOf(address) !== undefined;
  }

  /**
   * The next unused address that is free in the caller's eyes; undefined when there is none, or none among the few
   * hundred that were looked at: the next call goes on behind them.
   */
  take(isFree: (address: Ipv4) => boolean): Ipv4 | undefined {
    let judged = 0;
    for (let words = 0; words < MOST_WORDS && judged < MOST_JUDGED && this.unused > 0; words++) {
      const start = this.#last + 1 < this.#count ? this.#last + 1 : 0;
      const word = start >>> 5;
      // bits below the start were passed already
      const free = ~this.#inUse[word]! & (FULL << (start & 31));
      if (free === 0) {
        this.#last = word * 32 + 31;
        if (words > this.#inUse.length) return undefined;
        continue;
      }
      this.#last = word * 32 + 31 - Math.clz32(free & -free);
      judged += 1;
      const address = this.#addressOf(this.#last);
      if (isFree(address)) return address;
    }
    return undefined;
  }

  /** The address is in use, or no longer. Foreign addresses are ignored; saying so twice does no harm. */
  setInUse(address: Ipv4, inUse: boolean): void {
    if (this.#never.has(address)) return;
    const index = this.#indexOf(address);
    if (index !== undefined) this.#mark(index, inUse);
  }

  #mark(index: number | undefined, inUse: boolean): void {
    if (index === undefined) return;
    const bit = 1 << (index & 31);
    const word = this.#inUse[index >>> 5]!;
    if (((word & bit) !== 0) === inUse) return;
    this.#inUse[index >>> 5] = word ^ bit;
    this.#used += inUse ? 1 : -1;
  }

  #indexOf(address: Ipv4): number | undefined {
    const number = ipv4ToNumber(address);
    for (const { from, to, first } of this.#ranges) if (from <= number && number <= to) return first + number - from;
    return undefined;
  }

  #addressOf(index: number): Ipv4 {
    const range = this.#ranges.findLast(({ first }) => first <= index)!;
    return ipv4FromNumber(range.from + index - range.first);
  }
}
