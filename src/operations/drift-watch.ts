import { toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { type Drift, findDrift } from "./drift.ts";

/** What was under way when the last run of the process ended has its time to go on. */
const FIRST_MS = 10_000;
const RETRY_MS = 60_000;

/** What the last comparison of records with pool and targets found, and when; or why it could not be made. */
export type DriftReport = { at: number; drifts: Drift[] } | { at: undefined; trouble: string };

/** The report of the last comparison, for whoever asks. */
export class LastDrift {
  /** Undefined in the first seconds of the process. */
  report: DriftReport | undefined;
}

/** Compares now. */
export async function lookForDrift(appliance: Appliance): Promise<Drift[]> {
  const drifts = await findDrift(appliance);
  appliance.drift.report = { at: appliance.clock.now(), drifts };
  return drifts;
}

/** Compares records with pool and targets once, a moment after the start; answers how to end it. Repairs nothing. */
export function watchDrift(appliance: Appliance): () => Promise<void> {
  const { clock, log } = appliance;
  const stop = new AbortController();
  const run = async () => {
    await clock.sleep(FIRST_MS, stop.signal).catch(() => {});
    while (!stop.signal.aborted) {
      try {
        for (const { kind, subject, message, remedy } of await lookForDrift(appliance)) {
          log.warn({ kind, subject, remedy }, `drift: ${message}`);
        }
        return;
      } catch (error) {
        appliance.drift.report = { at: undefined, trouble: toApplianceError(error).message };
        await clock.sleep(RETRY_MS, stop.signal).catch(() => {});
      }
    }
  };
  const running = run();
  return () => {
    stop.abort();
    return running;
  };
}
