/**
 * ingotd as it is, but for its clock, which leaps an hour ahead at each SIGUSR2; what slept until a moment that has passed
 * by then wakes up.
 */
import { EventEmitter, once } from "node:events";
import { type Clock, systemClock } from "../../src/clock.ts";
import { runIngotd } from "./run-ingotd.ts";

const HOUR_MS = 3_600_000;
const leaps = new EventEmitter().setMaxListeners(0);
let aheadMs = 0;

process.on("SIGUSR2", () => {
  aheadMs += HOUR_MS;
  leaps.emit("leap");
});

const clock: Clock = {
  now: () => systemClock.now() + aheadMs,
  async sleep(ms, signal) {
    const until = clock.now() + ms;
    while (clock.now() < until) {
      const woken = new AbortController();
      const either = signal ? AbortSignal.any([signal, woken.signal]) : woken.signal;
      try {
        await Promise.race([systemClock.sleep(until - clock.now(), either), once(leaps, "leap", { signal: either })]);
      } finally {
        woken.abort();
      }
    }
  },
};

await runIngotd({ clock });
