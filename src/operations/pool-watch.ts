import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { ImageStore, PoolUsage } from "../drivers/images/image-store.ts";
import type { PoolSpace } from "../drivers/images/pool-space.ts";
import { toApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type PoolFill, type PoolLevel, poolFill, steadyLevel } from "./pool-level.ts";

const CALM_MS = 10_000;
/** A pool that fills up may be written to fast. */
const ALERT_MS = 1000;
const LOOK_SECONDS = 10;
/** The ballast is made anew only this many percent below the mark that closes the pool: it must not close it itself. */
const BALLAST_MARGIN = 5;

/** What a look at the pool found. */
export type PoolState = PoolFill & { usage: PoolUsage };

/** What the watch looks at, and by. */
export type PoolWatchParts = { store: ImageStore; space: PoolSpace; config: Config; clock: Clock; log: Log };

/** Keeps an eye on how full the pool is: says when a mark is passed, gives the ballast away in time and makes it anew. */
export class PoolWatch {
  readonly #parts: PoolWatchParts;
  readonly #stop = new AbortController();
  #level: PoolLevel | "unknown" = "ok";
  /** Why the ballast could not be given away or made at the last look. */
  #trouble: string | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: PoolWatchParts) {
    this.#parts = parts;
  }

  /** What the last look found, steadied (`steadyLevel`); `unknown` while ingot-storaged does not answer. */
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

  /** Looks now, and acts on what it sees. Rejects as the store's `usage` does; that it can't act is logged. */
  async look(signal: AbortSignal): Promise<PoolState> {
    const state = await this.#see(signal);
    try {
      const hasActed = await this.#act(state, signal);
      this.#trouble = undefined;
      return hasActed ? await this.#see(signal) : state;
    } catch (error) {
      const { message: reason } = toApplianceError(error);
      if (reason !== this.#trouble && !this.#stop.signal.aborted) {
        const remedy = "free space in the pool, or see what ingot-storaged says: journalctl -u ingot-storaged";
        this.#parts.log.warn({ component: "pool", reason, remedy }, "can't change the pool's ballast");
      }
      this.#trouble = reason;
      return state;
    }
  }

  async #see(signal: AbortSignal): Promise<PoolState> {
    const usage = await this.#parts.store.usage(signal);
    const state = { ...poolFill(usage, this.#parts.config.pool.watermarks), usage };
    this.#report(state);
    return state;
  }

  /** Gives the ballast away or makes it, when it is time; answers whether it did. */
  async #act({ level, usedPercent, usage: { ballast } }: PoolState, signal: AbortSignal): Promise<boolean> {
    const { space, config, log } = this.#parts;
    if (level === "critical" && ballast.releasableBytes > 0) {
      const bytes = await space.releaseBallast(signal);
      if (bytes > 0) log.warn({ component: "pool", bytes }, "ballast given to the disks of running nodes");
      return true;
    }
    if (ballast.isWhole || usedPercent >= config.pool.watermarks.close - BALLAST_MARGIN) return false;
    await space.keepBallast(signal);
    return true;
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

  #report({ usedPercent, usage }: PoolState): void {
    const before = this.#level;
    const level = steadyLevel(before, usage, this.#parts.config.pool.watermarks);
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
