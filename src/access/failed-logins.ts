import type { Clock } from "../clock.ts";
import { ApplianceError } from "../errors.ts";

/** So many may fail in a row before anybody has to wait. */
const FREE = 5;
const LONGEST_WAIT_MS = 15 * 60_000;
/** More than anybody needs who is not attacking. */
const MOST_KEPT = 10_000;

type Failures = { times: number; lastAt: number };

/**
 * Slows down who guesses: after five failures, each further one doubles the wait, up to a quarter of an hour; after
 * that time without another one it is forgotten. Counted per user name and per source.
 */
export class FailedLogins {
  readonly #clock: Clock;
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** THROTTLED, with `details.retryAfterSeconds`, while one of these has to wait. */
  refuse(keys: readonly string[]): void {
    const now = this.#clock.now();
    const until = Math.max(0, ...keys.map((key) => this.#waitsUntil(key)));
    if (until <= now) return;
    const retryAfterSeconds = Math.ceil((until - now) / 1000);
    throw new ApplianceError("THROTTLED", "too many attempts to log in failed", {
      details: {
        retryAfterSeconds,
        remedy: `try again in ${retryAfterSeconds} s; on the appliance itself, its unix socket needs no password`,
      },
    });
  }

  failed(keys: readonly string[]): void {
    for (const key of keys) {
      const times = (this.#known(key)?.times ?? 0) + 1;
      // the latest stand last: the oldest go first
      this.#failures.delete(key);
      this.#failures.set(key, { times, lastAt: this.#clock.now() });
    }
    for (const key of this.#failures.keys()) {
      if (this.#failures.size <= MOST_KEPT) break;
      this.#failures.delete(key);
    }
  }

  succeeded(key: string): void {
    this.#failures.delete(key);
  }

  #waitsUntil(key: string): number {
    const known = this.#known(key);
    if (!known || known.times < FREE) return 0;
    return known.lastAt + Math.min(1000 * 2 ** (known.times - FREE), LONGEST_WAIT_MS);
  }

  #known(key: string): Failures | undefined {
    const known = this.#failures.get(key);
    return known && this.#clock.now() - known.lastAt < LONGEST_WAIT_MS ? known : undefined;
  }
}
