import { setImmediate } from "node:timers/promises";
import type { Description } from "../drivers/images/pool-catalogue.ts";
import { isApplianceError, toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { describeRecord, type Recorded, recorded, textOf } from "./describe-record.ts";

/** How long after a change its description follows, when all is well: what a boot changes in short order is written once. */
const LAG_MS = 5000;
/** Longest pause while the pool can't be written to, and before content that is missing is looked for again. */
const PAUSE_MS = 15_000;
/** What the pool has is compared anew: somebody may have changed it. */
const SURVEY_MS = 3600 * 1000;
/** After so many comparisons others have a turn: all are made after a survey. */
const BREATH = 100;
const WRITE_SECONDS = 30;
const SURVEY_SECONDS = 600;

/** What the mirror works with. */
export type RecordMirrorParts = Pick<Appliance, "id" | "images" | "disks" | "nodes" | "catalogue" | "clock" | "log">;

/** What is known of one description in the pool. */
type Written = {
  /** The record that it was compared with; the same object is not compared again. */
  record?: object;
  /** What stands in the pool; undefined where nothing of ours does. */
  text?: string;
  /** Why the last try failed, and when it is worth another. */
  failures: number;
  retryAt: number;
  /** Another appliance's. */
  owner?: string;
};

/** `behind`: things whose description in the pool is not what it should be. `taken`: described as another appliance's. */
export type MirrorState = { behind: number; taken: { id: string; owner: string }[]; trouble: string | undefined };

/**
 * Keeps the descriptions in the pool as the records are: compares, and writes what differs, again and again. It follows
 * what is there rather than what happens, so nothing that is missed, in a crash or an outage, stays missed. No operation
 * waits for it.
 */
export class RecordMirror {
  readonly #appliance: RecordMirrorParts;
  readonly #written = new Map<string, Written>();
  readonly #stop = new AbortController();
  #surveyedAt: number | undefined;
  #trouble: string | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: RecordMirrorParts) {
    this.#appliance = parts;
  }

  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  get state(): MirrorState {
    const behind = [...recorded(this.#appliance)].filter((one) => this.#differs(one)).length;
    const taken = [...this.#written].flatMap(([id, { owner }]) => (owner === undefined ? [] : [{ id, owner }]));
    return { behind, taken, trouble: this.#trouble };
  }

  /** Writes all that differs now. Rejects when the pool can't be asked; what single things ran into is tried again later. */
  async catchUp(signal: AbortSignal): Promise<void> {
    const now = this.#appliance.clock.now();
    if (this.#surveyedAt === undefined || now - this.#surveyedAt > SURVEY_MS) await this.#survey(now, signal);
    const known = new Set<string>();
    for (const one of [...recorded(this.#appliance)]) {
      known.add(one.record.id);
      // boots are answered meanwhile
      if (known.size % BREATH === 0) await setImmediate();
      if (this.#differs(one) && (this.#written.get(one.record.id)?.retryAt ?? 0) <= now) await this.#write(one, signal);
    }
    for (const id of this.#written.keys()) if (!known.has(id)) this.#written.delete(id);
  }

  async #loop(): Promise<void> {
    for (let failures = 0; !this.#stop.signal.aborted; ) {
      try {
        await this.catchUp(this.#stop.signal);
        if (this.#trouble !== undefined) this.#appliance.log.info({ component: "mirror" }, "pool takes records again");
        this.#trouble = undefined;
        failures = 0;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        failures += 1;
        this.#report(toApplianceError(error).message);
      }
      const pause = Math.min(LAG_MS * 2 ** failures, PAUSE_MS);
      await this.#appliance.clock.sleep(failures > 0 ? pause : LAG_MS, this.#stop.signal).catch(() => {});
    }
  }

  #report(reason: string): void {
    if (this.#trouble === undefined) {
      this.#appliance.log.warn({ component: "mirror", reason }, "records can't be written to the pool, tried again");
    }
    this.#trouble = reason;
  }

  async #survey(now: number, signal: AbortSignal): Promise<void> {
    const { things } = await this.#appliance.catalogue.survey(withDeadline(signal, SURVEY_SECONDS));
    this.#written.clear();
    for (const { id, description } of things) {
      if (description?.appliance !== this.#appliance.id) continue;
      this.#written.set(id, { text: textOf(description), failures: 0, retryAt: 0 });
    }
    this.#surveyedAt = now;
  }

  #differs({ record, ...one }: Recorded): boolean {
    const written = this.#written.get(record.id);
    if (written?.record === record) return false;
    if (written?.text === undefined) return true;
    if (written.text !== textOf(describeRecord(this.#appliance, { ...one, record } as Recorded))) return true;
    written.record = record;
    return false;
  }

  async #write(one: Recorded, signal: AbortSignal): Promise<void> {
    const { id } = one.record;
    const description: Description = describeRecord(this.#appliance, one);
    try {
      await this.#appliance.catalogue.describe(description, undefined, withDeadline(signal, WRITE_SECONDS));
      this.#written.set(id, { record: one.record, text: textOf(description), failures: 0, retryAt: 0 });
    } catch (error) {
      // content that is still in the making, or lost; another's: no reason to keep the others waiting
      if (!isApplianceError(error, "NOT_FOUND") && !isApplianceError(error, "CONFLICT")) throw error;
      const failures = (this.#written.get(id)?.failures ?? 0) + 1;
      const owner = isApplianceError(error, "CONFLICT") ? String(error.details.appliance) : undefined;
      if (owner !== undefined && failures === 1) {
        this.#appliance.log.error({ component: "mirror", [one.kind]: id, owner }, "another appliance has this now");
      }
      const retryAt = this.#appliance.clock.now() + Math.min(LAG_MS * 2 ** failures, PAUSE_MS);
      this.#written.set(id, { failures, retryAt, ...(owner === undefined ? {} : { owner }) });
    }
  }
}

function withDeadline(signal: AbortSignal, seconds: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]);
}
