import type { Ipv4 } from "../values/ipv4.ts";

/** Width of a slot, ms: how late an expiry may be noticed. */
const SLOT_MS = 10_000;

/**
 * Which addresses may have expired, found without looking at the others. It only hints: it holds each address once, by the
 * time that it was told first, so the caller compares with the record and adds one that was renewed meanwhile again.
 */
export class ExpiryWheel {
  readonly #slots = new Map<number, Ipv4[]>();
  readonly #held = new Set<Ipv4>();

  add(address: Ipv4, expiresAt: number): void {
    if (this.#held.has(address)) return;
    this.#held.add(address);
    const slot = Math.floor(expiresAt / SLOT_MS);
    const addresses = this.#slots.get(slot);
    if (addresses) addresses.push(address);
    else this.#slots.set(slot, [address]);
  }

  /** Takes out at most `limit` addresses whose time, as told to `add`, is over. */
  takeDue(now: number, limit: number): Ipv4[] {
    const due: Ipv4[] = [];
    for (const [slot, addresses] of this.#slots) {
      if ((slot + 1) * SLOT_MS > now) continue;
      due.push(...addresses.splice(0, limit - due.length));
      if (addresses.length === 0) this.#slots.delete(slot);
      if (due.length === limit) break;
    }
    for (const address of due) this.#held.delete(address);
    return due;
  }
}
