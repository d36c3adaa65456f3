/** Keys that are counted at a time; one more, and all begin anew. */
const MOST_KEYS = 10_000;

/** At most so many of each key in one stretch of time. Memory is bounded, a look costs the same however many keys there are. */
export class Quota {
  readonly #most: number;
  readonly #windowMs: number;
  readonly #taken = new Map<string, number>();
  #endsAt = 0;

  constructor({ most, windowMs }: { most: number; windowMs: number }) {
    this.#most = most;
    this.#windowMs = windowMs;
  }

  /** Counts one more at `now`, in ms; false when that was too many. */
  take(key: string, now: number): boolean {
    if (now >= this.#endsAt || this.#taken.size >= MOST_KEYS) {
      this.#taken.clear();
      this.#endsAt = now + this.#windowMs;
    }
    const taken = (this.#taken.get(key) ?? 0) + 1;
    this.#taken.set(key, taken);
    return taken <= this.#most;
  }
}
