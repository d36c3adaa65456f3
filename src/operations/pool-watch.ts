import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { ImageStore, PoolUsage } from "../drivers/images/image-store.ts";
import type { PoolSpace } from "../drivers/images/pool-space.ts";
import { toApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type PoolFill, type PoolLevel, poolFill } from "./pool-level.ts";

const CALM_MS = 10_000;
/** A pool that fills up may be written to fast. */
const ALERT_MS = 1000;
const LOOK_SECONDS = 10;
/** The ballast is made anew only this many percent below the mark that closes the pool: it must not close it itself. */
const BALLAST_MARGIN = 5;

export type PoolState = PoolFill & { usage: PoolUsage };

export type PoolWatchParts = { store: ImageStore; space: PoolSpace; config: Config; clock: Clock; log: Log };

/** Keeps an eye on how full the pool is: says when a mark is passed, gives the ballast away in time and makes it anew. */
export class PoolWatch {
  readonly #parts: PoolWatchParts;
  readonly #stop = new AbortController();
  #level: PoolLevel | "unknown" = "ok";
  #running: Promise<void> = Promise.resolve();

  constructor(parts: PoolWatchParts) {
    this.#parts = parts;
  }

  /** What the last look found; `unknown` while ingot-storaged does not answer. */
  get level(): PoolLevel | "unknown" {
    return this.#level;
  }

  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Looks now, and acts on what it sees. Rejects as the store does. */
  async look(signal: AbortSignal): Promise<PoolState> {
    const { store, space, config } = this.#parts;
    const marks = config.pool.watermarks;
    const usage = await store.usage(signal);
    const state = { ...poolFill(usage, marks), usage };
    this.#report(state);
    if (state.level === "critical" && usage.ballast.bytes > 0) {
      const bytes = await space.releaseBallast(signal);
      if (bytes > 0) this.#parts.log.warn({ component: "pool", bytes }, "ballast given to the disks of running nodes");
    }
    if (!usage.ballast.isWhole && state.usedPercent < marks.close - BALLAST_MARGIN) await space.keepBallast(signal);
    return state;
  }

  async #loop(): Promise<void> {
    const { clock, log } = this.#parts;
    while (!this.#stop.signal.aborted) {
      try {
        await this.look(AbortSignal.any([this.#stop.signal, AbortSignal.timeout(LOOK_SECONDS * 1000)]));
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (this.#level !== "unknown") {
          log.warn({ component: "pool", reason: toApplianceError(error).message }, "can't look at the pool");
        }
        this.#level = "unknown";
      }
      const isCalm = this.#level === "ok" || this.#level === "unknown";
      await clock.sleep(isCalm ? CALM_MS : ALERT_MS, this.#stop.signal).catch(() => {});
    }
  }

  #report({ level, usedPercent, usage }: PoolState): void {
    const before = this.#level;
    this.#level = level;
    if (before === level) return;
    const facts = { component: "pool", level, before, usedPercent, freeBytes: usage.freeBytes };
    if (level === "ok") this.#parts.log.info(facts, "pool has room");
    else this.#parts.log.warn(facts, MESSAGES[level]);
  }
}

const MESSAGES: Record<Exclude<PoolLevel, "ok">, string> = {
  warn: "pool fills up",
  closed: "pool closed to new clones, imports and snapshots",
  critical: "pool nearly full, disks of running nodes are about to fail",
};
