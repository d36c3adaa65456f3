/**
 * Preloaded into ingotd (`--import`): measures how late its event loop is. Each SIGUSR2 writes what was seen since the
 * last one to the file INGOT_LOOP_DELAY, as JSON `{ p99Ms, maxMs }`.
 */
import { renameSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const file = process.env.INGOT_LOOP_DELAY;
const RESOLUTION_MS = 5;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
if (file) {
  process.on("SIGUSR2", () => {
    // the histogram counts the timer's own period too
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    writeFileSync(`${file}.new`, JSON.stringify({ p99Ms: late(delay.percentile(99)), maxMs: late(delay.max) }));
    delay.reset();
    renameSync(`${file}.new`, file);
  });
}
