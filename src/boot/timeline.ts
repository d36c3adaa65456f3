import type { Clock } from "../clock.ts";
import type { Mac } from "../values/mac.ts";
import type { BootArchive } from "./boot-archive.ts";
import type { BootClient } from "./boot-client.ts";
import type { BootEvent, BootEventSink, BootStage } from "./boot-event.ts";
import { advance, type BootSession, find, sessionOf } from "./boot-session.ts";

const BOOTS_PER_NODE = 10;
/** Machines that nobody registered are remembered up to this number, in memory only. */
const MAX_STRANGERS = 1000;

type Waiter = { stage: BootStage; since: number; resolve: (session: BootSession) => void };

/** What a timeline keeps boots by. */
export type TimelineOptions = {
  /** Where the boots of nodes are kept. */
  archive: BootArchive;
  /** Whether a node has this NIC. */
  isNode: (mac: Mac) => boolean;
  clock: Clock;
};

/** The boots of every machine, stage by stage: the last ten of each node, and the newest of each stranger. */
export class Timeline {
  readonly #archive: BootArchive;
  readonly #isNode: (mac: Mac) => boolean;
  readonly #clock: Clock;
  /** Per NIC, newest first. */
  readonly #boots = new Map<Mac, BootSession[]>();
  /** NICs of no node, the one heard of longest ago first. */
  readonly #strangers = new Set<Mac>();
  readonly #waiters = new Map<Mac, Set<Waiter>>();

  constructor({ archive, isNode, clock }: TimelineOptions) {
    this.#archive = archive;
    this.#isNode = isNode;
    this.#clock = clock;
    for (const session of archive.load()) {
      if (isNode(session.mac)) this.#keep(session);
      else archive.remove(session.id);
    }
  }

  /** Takes one event of the boot path. Returns at once and never throws. */
  readonly sink: BootEventSink = (event) => {
    const before = this.current(event.mac);
    // no boot begins by an OS that asks for an address, nor by somebody asking in another's name, nor by a power-off
    if (!before && (event.stage === "dhcp-os" || (!isStage(event) && !event.client))) return;
    const session = advance(before, event);
    const isNode = this.#isNode(event.mac);
    this.#keep(session, isNode ? BOOTS_PER_NODE : 1);
    this.#countStranger(event.mac, isNode);
    if (isNode && isWorthWriting(before, session)) this.#archive.save(session);
    this.#wake(event, session);
  };

  /** The boots of this NIC, newest first. */
  boots(mac: Mac): readonly BootSession[] {
    return this.#boots.get(mac) ?? [];
  }

  /** The newest boot of this NIC, under way or done. */
  current(mac: Mac): BootSession | undefined {
    return this.#boots.get(mac)?.[0];
  }

  /** The boot that a request of this client, now, belongs to: the newest one, or one that begins with it. */
  bootOf(client: BootClient, via: "dhcp" | "http"): BootSession {
    const stage = via === "http" ? "script" : (`dhcp-${client.stage}` as const);
    return sessionOf(this.current(client.mac), { mac: client.mac, stage, at: this.#clock.now(), client });
  }

  /** The session in which this stage is seen at `since` or later: at once if it was. Rejects with the signal's reason. */
  waitFor(mac: Mac, stage: BootStage, since: number, signal: AbortSignal): Promise<BootSession> {
    const seen = this.boots(mac).find((session) => (find(session, stage)?.lastAt ?? -1) >= since);
    if (seen) return Promise.resolve(seen);
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const waiters = this.#waiters.get(mac) ?? new Set();
      const leave = () => {
        signal.removeEventListener("abort", onAbort);
        waiters.delete(waiter);
        if (waiters.size === 0) this.#waiters.delete(mac);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const waiter: Waiter = {
        stage,
        since,
        resolve: (session) => {
          leave();
          resolve(session);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiters.set(mac, waiters.add(waiter));
    });
  }

  /** Drops the boots of a NIC whose node was removed. */
  forget(mac: Mac): void {
    for (const session of this.boots(mac)) this.#archive.remove(session.id);
    this.#boots.delete(mac);
    this.#strangers.delete(mac);
  }

  #keep(session: BootSession, limit = BOOTS_PER_NODE): void {
    const boots = this.#boots.get(session.mac) ?? [];
    const older = boots[0]?.id === session.id ? boots.slice(1) : boots;
    for (const dropped of older.slice(limit - 1)) this.#archive.remove(dropped.id);
    this.#boots.set(session.mac, [session, ...older.slice(0, limit - 1)]);
  }

  #countStranger(mac: Mac, isNode: boolean): void {
    this.#strangers.delete(mac);
    if (isNode) return;
    this.#strangers.add(mac);
    if (this.#strangers.size <= MAX_STRANGERS) return;
    const [oldest] = this.#strangers;
    if (oldest !== undefined) {
      this.#strangers.delete(oldest);
      if (!this.#isNode(oldest)) this.#boots.delete(oldest);
    }
  }

  #wake(event: BootEvent, session: BootSession): void {
    for (const waiter of [...(this.#waiters.get(event.mac) ?? [])]) {
      if (waiter.stage === event.stage && event.at >= waiter.since) waiter.resolve(session);
    }
  }
}

function isStage({ stage }: BootEvent): boolean {
  return stage !== "refused" && stage !== "power-off";
}

/** Repetitions alone are not: they are written along with the next new thing. */
function isWorthWriting(before: BootSession | undefined, after: BootSession): boolean {
  if (before?.id !== after.id || before.refusals.length !== after.refusals.length) return true;
  if (before.switchedOffAt !== after.switchedOffAt) return true;
  if (before.stages.length !== after.stages.length) return true;
  return after.stages.some((stage, index) => {
    const old = before.stages[index];
    return stage.file !== old?.file || stage.decision !== old?.decision || stage.acknowledged !== old?.acknowledged;
  });
}
