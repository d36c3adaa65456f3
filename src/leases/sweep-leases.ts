import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { LeaseTable } from "./lease-table.ts";

const PAUSE_MS = 10_000;

/** Drops expired leases in the background, in small commits; answers how to stop, which waits for the last one. */
export function sweepLeases(leases: LeaseTable, clock: Clock, log: Log): () => Promise<void> {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        if ((await leases.sweep()) === 0) await clock.sleep(PAUSE_MS, stopping.signal);
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.warn({ err: error }, "expired leases not dropped");
        await clock.sleep(PAUSE_MS, stopping.signal).catch(() => {});
      }
    }
  })();
  return () => {
    stopping.abort();
    return running;
  };
}
