import type { Ipv4 } from "../values/ipv4.ts";

/** How long an offered address waits for its REQUEST, in ms: slow firmware collects offers for tens of seconds. */
export const OFFER_HOLD_MS = 60_000;
/** More than this many offers at a time make the oldest void: memory stays bounded under a flood of invented MACs. */
const MOST_OFFERS = 65_536;

type Offer = { client: string; address: Ipv4; until: number };

/** Addresses offered and not yet requested: in memory only, since an offer lost costs the client one DISCOVER. */
export class Offers {
  /** In order of `until`, since every offer is held equally long. */
  readonly #byClient = new Map<string, Offer>();
  readonly #byAddress = new Map<Ipv4, Offer>();
  readonly #onVoid: (address: Ipv4) => void;

  /** `onVoid` hears of every offer that ends, whether by time, by `drop` or by another offer to the same client. */
  constructor(onVoid: (address: Ipv4) => void) {
    this.#onVoid = onVoid;
  }

  hold(client: string, address: Ipv4, now: number): void {
    const old = this.#byClient.get(client);
    if (old) this.#forget(old);
    if (old && old.address !== address) this.#onVoid(old.address);
    const offer = { client, address, until: now + OFFER_HOLD_MS };
    this.#byClient.set(client, offer);
    this.#byAddress.set(address, offer);
    this.endExpired(now);
  }

  /** Ends the offers whose time is over, and the oldest ones where there are too many. */
  endExpired(now: number): void {
    for (const oldest of this.#byClient.values()) {
      if (oldest.until > now && this.#byClient.size <= MOST_OFFERS) break;
      this.#forget(oldest);
      this.#onVoid(oldest.address);
    }
  }

  /** The address on offer to this client. */
  addressFor(client: string, now: number): Ipv4 | undefined {
    const offer = this.#byClient.get(client);
    return offer && offer.until > now ? offer.address : undefined;
  }

  /** The client that this address is on offer to. */
  clientOf(address: Ipv4, now: number): string | undefined {
    const offer = this.#byAddress.get(address);
    return offer && offer.until > now ? offer.client : undefined;
  }

  /** The client took it, or another server's. */
  drop(client: string): void {
    const offer = this.#byClient.get(client);
    if (!offer) return;
    this.#forget(offer);
    this.#onVoid(offer.address);
  }

  #forget(offer: Offer): void {
    this.#byClient.delete(offer.client);
    if (this.#byAddress.get(offer.address) === offer) this.#byAddress.delete(offer.address);
  }
}
