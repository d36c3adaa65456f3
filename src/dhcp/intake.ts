import type { RemoteInfo } from "node:dgram";
import type { Clock } from "../clock.ts";
import { Quota } from "../net/quota.ts";
import { formatMac, type Mac } from "../values/mac.ts";
import { CHADDR_OFFSET } from "../wire/dhcp/protocol.ts";

/** What one client may send: a boot takes about ten datagrams in a minute, a client that is stuck one in a few seconds. */
const PER_STRANGER = { most: 30, windowMs: 10_000 };
/** A node's share, so much larger that nobody silences it with a few datagrams in its name. */
const PER_NODE = { most: 300, windowMs: 10_000 };

/** Datagrams that libuv reads from a socket in one turn of the event loop; when there were as many, more are waiting. */
const TURN = 32;
/** Strangers served in a turn that read all that there was, and in one that did not. */
const SERVED = { emptied: TURN, full: 2 };
/** Strangers' datagrams that wait, a tenth of a second's work; beyond it they are dropped. */
const MOST_QUEUED = 1024;

type Datagram = { bytes: Buffer; from: RemoteInfo };

/** What happens to datagrams, served or not. */
export type IntakeOptions = {
  /** Begins the answer to a datagram; `fromNode`: a node has the NIC that it names. */
  serve: (bytes: Buffer, from: RemoteInfo, fromNode: boolean) => void;
  /** Whether a node has this NIC. */
  isNode: (mac: Mac) => boolean;
  /** `limited`: this client sends too many. `shed`: all of them do, and it is no node's. */
  onDropped: (why: "limited" | "shed", mac: Mac) => void;
  clock: Clock;
};

/**
 * The order in which a DHCP server serves its datagrams, whoever floods it: nodes at once, strangers from a bounded queue,
 * no client more than its share. While the socket has more to read, reading comes first: what overflows the kernel's
 * buffer is lost without regard to whose it was.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #quotas = { nodes: new Quota(PER_NODE), strangers: new Quota(PER_STRANGER) };
  readonly #nodes: Datagram[] = [];
  readonly #strangers: Datagram[] = [];
  #readInTurn = 0;
  #isDue = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Datagrams that wait. */
  get queued(): number {
    return this.#nodes.length + this.#strangers.length;
  }

  /** Takes a datagram as it is read; it is served, or dropped, before long. */
  take(bytes: Buffer, from: RemoteInfo): void {
    const { isNode, onDropped, clock } = this.#options;
    const mac = formatMac(bytes, CHADDR_OFFSET);
    this.#readInTurn += 1;
    this.#schedule();
    const isNodes = isNode(mac);
    const quota = isNodes ? this.#quotas.nodes : this.#quotas.strangers;
    if (!quota.take(mac, clock.now())) onDropped("limited", mac);
    else if (isNodes) this.#nodes.push({ bytes, from });
    else if (this.#strangers.length < MOST_QUEUED) this.#strangers.push({ bytes, from });
    else onDropped("shed", mac);
  }

  /** Serves all that waits. */
  drain(): void {
    this.#serve(MOST_QUEUED);
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#endTurn());
  }

  #endTurn(): void {
    this.#isDue = false;
    const isFull = this.#readInTurn >= TURN;
    this.#readInTurn = 0;
    this.#serve(isFull ? SERVED.full : SERVED.emptied);
    if (this.queued > 0) this.#schedule();
  }

  #serve(strangers: number): void {
    const { serve } = this.#options;
    for (const { bytes, from } of this.#nodes.splice(0)) serve(bytes, from, true);
    for (const { bytes, from } of this.#strangers.splice(0, strangers)) serve(bytes, from, false);
  }
}
