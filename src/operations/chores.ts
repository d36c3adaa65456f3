import type { Clock } from "../clock.ts";
import { toApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";

const PAUSE_MS = 15_000;

/** Something that is done whenever it is time for it; it finds out by itself whether it is. */
export type Chore = (signal: AbortSignal) => Promise<void>;

/**
 * Does the chores of the appliance again and again, each in its own time: one that takes long, or fails, holds up no
 * other. Answers what stops them; an operation that one of them waits for is the runner's.
 */
export function startChores(chores: Record<string, Chore>, { clock, log }: { clock: Clock; log: Log }): () => void {
  const stop = new AbortController();
  for (const [chore, run] of Object.entries(chores)) void keepDoing(chore, run);
  return () => stop.abort();

  async function keepDoing(chore: string, run: Chore): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await run(stop.signal);
      } catch (error) {
        if (stop.signal.aborted) return;
        log.warn({ component: "chores", chore, reason: toApplianceError(error).message }, "chore failed, tried again");
      }
      await clock.sleep(PAUSE_MS, stop.signal).catch(() => {});
    }
  }
}
