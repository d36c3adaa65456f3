import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { Quota } from "../net/quota.ts";
import type { Mac } from "../values/mac.ts";

/** Lines of what came of requests; a flood must not become one of the log. */
const LINES = { most: 1000, windowMs: 10_000 };
/** What was dropped is told at most this often. */
const DROPS_TOLD_MS = 60_000;

/** Requests dropped unread so far, by reason. */
export type Drops = { limited: number; shed: number; dropped: number };

/** What a DHCP server says of its packets: bounded, whatever comes in. */
export class PacketLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #lines = new Quota(LINES);
  #untold = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  #told: Drops = { limited: 0, shed: 0, dropped: 0 };

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** One line for one packet; `untold` in it counts those that there was no line for. */
  packet(level: "debug" | "info" | "warn", facts: object, phrase: string): void {
    if (!this.#log.isLevelEnabled(level)) return;
    if (!this.#lines.take("", this.#clock.now())) {
      this.#untold += 1;
      return;
    }
    this.#log[level](this.#untold > 0 ? { ...facts, untold: this.#untold } : facts, phrase);
    this.#untold = 0;
  }

  /** Another request, by this machine, was dropped: told at once, and then once a minute in numbers. */
  drop({ limited, shed, dropped }: Drops, mac: Mac): void {
    const now = this.#clock.now();
    if (now < this.#toldAt + DROPS_TOLD_MS) return;
    const news = {
      limited: limited - this.#told.limited,
      shed: shed - this.#told.shed,
      dropped: dropped - this.#told.dropped,
    };
    this.#log.warn({ ...news, mac }, "dhcp: requests dropped since the last such line, one by this machine");
    this.#toldAt = now;
    this.#told = { limited, shed, dropped };
  }
}
