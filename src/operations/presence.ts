import { toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";

/** An appliance that did not prolong its lease for so long is gone, or cut off from the pool. */
const LEASE_SECONDS = 60;
const PROLONG_MS = 20_000;
const RETRY_MS = 5000;
const CALL_SECONDS = 20;
/** A pool that does not answer must not keep the process from ending: the lease runs out by itself. */
const GOODBYE_SECONDS = 2;

const leaseOf = (appliance: string) => `appliance-${appliance}`;

/** An appliance's sign of life in its pool, for others that share it: a lease that it prolongs as long as it runs. */
export class Presence {
  readonly #appliance: Pick<Appliance, "id" | "poolLeases" | "clock" | "log">;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(appliance: Pick<Appliance, "id" | "poolLeases" | "clock" | "log">) {
    this.#appliance = appliance;
  }

  start(): void {
    this.#running = this.#loop();
  }

  /** Says goodbye too: from then on others take it for gone. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const { id, poolLeases } = this.#appliance;
    await poolLeases.giveBack(leaseOf(id), id, AbortSignal.timeout(GOODBYE_SECONDS * 1000)).catch(() => {});
  }

  async #loop(): Promise<void> {
    const { id, poolLeases, clock, log } = this.#appliance;
    let trouble: string | undefined;
    while (!this.#stop.signal.aborted) {
      try {
        const deadline = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(CALL_SECONDS * 1000)]);
        await poolLeases.take(leaseOf(id), id, LEASE_SECONDS, deadline);
        trouble = undefined;
      } catch (error) {
        const reason = toApplianceError(error).message;
        if (trouble === undefined && !this.#stop.signal.aborted) {
          log.warn({ component: "presence", reason }, "can't give the pool a sign of life, tried again");
        }
        trouble = reason;
      }
      await clock.sleep(trouble === undefined ? PROLONG_MS : RETRY_MS, this.#stop.signal).catch(() => {});
    }
  }
}

/** Whether an appliance has given its pool a sign of life within the last minute, and not said goodbye. */
export async function isLiving(
  { poolLeases }: Pick<Appliance, "poolLeases">,
  appliance: string,
  signal: AbortSignal,
): Promise<boolean> {
  return (await poolLeases.holder(leaseOf(appliance), signal)) !== undefined;
}
