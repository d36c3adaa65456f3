import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Notifier } from "./notify.ts";

/**
 * The work of one loop so far: `pending` was begun and not ended, `ended` has ended, well or not. Idle is healthy,
 * failing is healthy too (restarting cures neither a quiet network nor a full disk): hanging alone is not.
 */
export type Progress = { pending: number; ended: number };

/** A loop that must not hang, such as the journal's writer. Register only loops whose pieces of work are short. */
export interface WatchdogProbe {
  readonly name: string;
  progress(): Progress;
}

/** What systemd's watchdog is fed by. */
export type WatchdogOptions = {
  notifier: Notifier;
  /** Where WATCHDOG_USEC and WATCHDOG_PID are; both are taken out, so that no child thinks they are meant for it. */
  environment: NodeJS.ProcessEnv;
  probes: WatchdogProbe[];
  clock: Clock;
  log: Log;
};

/**
 * Feeds the supervisor's watchdog while every loop gets on (sd_watchdog_enabled(3)); does nothing when none watches this
 * process. A loop hangs when work was pending at two looks in a row and none ended in between. There are four looks
 * in WATCHDOG_USEC, so that one slow piece of work is no verdict: it must hang for about three quarters of that time.
 * The event loop needs no probe: if it stands, nobody feeds. The answer ends the feeding.
 */
export function startWatchdog(options: WatchdogOptions): () => void {
  const intervalMs = takeWatchdogInterval(options.environment);
  const stop = new AbortController();
  if (intervalMs !== undefined) void feed(options, intervalMs / 4, stop.signal);
  return () => stop.abort();
}

async function feed({ notifier, probes, clock, log }: WatchdogOptions, everyMs: number, signal: AbortSignal) {
  let before = new Map<WatchdogProbe, Progress>();
  let wasHanging = "";
  while (!signal.aborted) {
    const now = new Map(probes.map((probe) => [probe, { ...probe.progress() }]));
    const hanging = probes.filter((probe) => hangs(before.get(probe), now.get(probe)!)).map((probe) => probe.name);
    before = now;
    try {
      if (hanging.length === 0) notifier.alive();
    } catch (error) {
      log.warn({ err: error }, "watchdog could not be fed");
    }
    if (hanging.join() !== wasHanging) {
      if (hanging.length > 0) log.error({ loops: hanging }, "loops hang, watchdog is not fed");
      else log.warn({ loops: wasHanging.split(",") }, "loops go on, watchdog is fed again");
      wasHanging = hanging.join();
    }
    await clock.sleep(everyMs, signal).catch(() => {});
  }
}

function hangs(before: Progress | undefined, now: Progress): boolean {
  return before !== undefined && before.pending > 0 && now.pending > 0 && now.ended === before.ended;
}

/** Milliseconds after which the supervisor acts; undefined when it does not watch this process. */
function takeWatchdogInterval(environment: NodeJS.ProcessEnv): number | undefined {
  const { WATCHDOG_USEC: microseconds, WATCHDOG_PID: pid } = environment;
  delete environment.WATCHDOG_USEC;
  delete environment.WATCHDOG_PID;
  const interval = Number(microseconds) / 1000;
  return interval > 0 && (pid === undefined || Number(pid) === process.pid) ? interval : undefined;
}

/** A probe for a loop that counts its work by wrapping it. */
export class CountedWork implements WatchdogProbe {
  readonly name: string;
  #pending = 0;
  #ended = 0;

  constructor(name: string) {
    this.name = name;
  }

  progress(): Progress {
    return { pending: this.#pending, ended: this.#ended };
  }

  /** The result of `work`, counted while it runs. */
  async track<T>(work: Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await work;
    } finally {
      this.#pending--;
      this.#ended++;
    }
  }
}

/** A probe that does a small piece of work itself at each look, such as an empty write, never two at a time. */
export function exercise(name: string, work: () => Promise<unknown>): WatchdogProbe {
  const counted = new CountedWork(name);
  return {
    name,
    progress() {
      if (counted.progress().pending === 0) counted.track((async () => work())()).catch(() => {});
      return counted.progress();
    },
  };
}
