import { ApplianceError } from "../errors.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import type { Session } from "./session.ts";

export type SessionLimits = {
  /** Of all clients together. */
  maxTransfers: number;
  /** Of one address. */
  maxTransfersPerClient: number;
};

/**
 * The transfers under way, within their limits. Whoever asks under a forged address never answers our first packet: so
 * where a limit is reached, the transfer that has waited longest for its first answer gives way to the new one, and a
 * flood of requests keeps nobody out that answers soon. A transfer whose client has answered stays.
 */
export class Sessions {
  readonly #limits: SessionLimits;
  /** By the client's transfer id: its address and port (RFC 1350 4). */
  readonly #byId = new Map<string, Session>();
  readonly #byClient = new Map<Ipv4, Set<Session>>();
  /** Those without an answer so far, the oldest first. */
  readonly #unanswered = new Set<Session>();

  /** The limits may change at any time; they count for the next request. */
  constructor(limits: SessionLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byId.size;
  }

  find(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  all(): Session[] {
    return [...this.#byId.values()];
  }

  /** Makes room for one more transfer of a client; BUSY when all that count against it have been answered. */
  makeRoom(client: Ipv4): ApplianceError | undefined {
    const { maxTransfers, maxTransfersPerClient } = this.#limits;
    const ofClient = this.#byClient.get(client) ?? new Set();
    if (ofClient.size >= maxTransfersPerClient && !this.#giveWay(ofClient)) {
      return new ApplianceError("BUSY", "too many transfers at a time for this client");
    }
    if (this.size >= maxTransfers && !this.#giveWay(this.#unanswered)) {
      return new ApplianceError("BUSY", "too many transfers at a time");
    }
    return undefined;
  }

  add(session: Session): void {
    const ofClient = this.#byClient.get(session.client) ?? new Set();
    this.#byClient.set(session.client, ofClient.add(session));
    this.#byId.set(session.id, session);
    this.#unanswered.add(session);
  }

  /** The client has answered: the session stays from now on. */
  answered(session: Session): void {
    this.#unanswered.delete(session);
  }

  /** May be called twice. */
  remove(session: Session): void {
    this.#unanswered.delete(session);
    if (this.#byId.get(session.id) === session) this.#byId.delete(session.id);
    const ofClient = this.#byClient.get(session.client);
    ofClient?.delete(session);
    if (ofClient?.size === 0) this.#byClient.delete(session.client);
  }

  #giveWay(among: Set<Session>): boolean {
    for (const session of among) {
      if (!this.#unanswered.has(session)) continue;
      session.abandon("never answered, and others asked");
      this.remove(session);
      return true;
    }
    return false;
  }
}
