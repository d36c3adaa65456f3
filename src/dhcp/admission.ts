import type { Clock } from "../clock.ts";
import type { Mac } from "../values/mac.ts";
import { Quota } from "./quota.ts";

/** What one client may send: a boot takes about ten datagrams in a minute, a client that is stuck one in a few seconds. */
const PER_CLIENT = { most: 30, windowMs: 10_000 };

/** Datagrams that libuv reads from a socket in one turn of the event loop; when there were as many, more are waiting. */
const TURN = 32;
/** A longer run of full turns is no pause of ours that the socket's buffer makes up for: more comes than can be answered. */
const PATIENCE_MS = 200;

/** Whether a datagram is served: `limited` means that its client sends too many, `shed` that all clients do. */
export type Admitted = "yes" | "limited" | "shed";

/**
 * Keeps a DHCP server answering the machines that it is there for, whoever else sends what. No client gets more than its
 * share; and when more comes than can be answered, strangers are dropped unread, so many per turn that the socket's buffer
 * runs empty: a node's datagram in it is then read, not overwritten by the flood.
 */
export class Admission {
  readonly #isNode: (mac: Mac) => boolean;
  readonly #clock: Clock;
  readonly #clients = new Quota(PER_CLIENT);
  #inTurn = 0;
  #strangersInTurn = 0;
  /** Strangers that are served per turn. */
  #allowance = TURN;
  #fullSince: number | undefined;

  constructor(isNode: (mac: Mac) => boolean, clock: Clock) {
    this.#isNode = isNode;
    this.#clock = clock;
  }

  /** Judges one datagram as it comes in. */
  admit(mac: Mac): Admitted {
    if (this.#inTurn === 0) setImmediate(() => this.#endTurn());
    this.#inTurn += 1;
    if (!this.#isNode(mac)) {
      this.#strangersInTurn += 1;
      if (this.#strangersInTurn > this.#allowance) return "shed";
    }
    return this.#clients.take(mac, this.#clock.now()) ? "yes" : "limited";
  }

  #endTurn(): void {
    const isFull = this.#inTurn >= TURN;
    const now = this.#clock.now();
    this.#inTurn = 0;
    this.#strangersInTurn = 0;
    if (!isFull) {
      this.#fullSince = undefined;
      this.#allowance = Math.min(TURN, this.#allowance + 1);
      return;
    }
    this.#fullSince ??= now;
    const isFlooded = this.#allowance < TURN || now - this.#fullSince >= PATIENCE_MS;
    if (isFlooded) this.#allowance = Math.max(1, this.#allowance >> 1);
  }
}
