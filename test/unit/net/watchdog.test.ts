import { describe, expect, it } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import { createLog } from "../../../src/log.ts";
import type { Notifier } from "../../../src/net/notify.ts";
import { CountedWork, exercise, startWatchdog, type WatchdogProbe } from "../../../src/net/watchdog.ts";

/** Four looks a turn of the watchdog: 8 s here, so one look every 2 s of this clock, which is turned by hand. */
function harness(probes: WatchdogProbe[], environment: NodeJS.ProcessEnv = { WATCHDOG_USEC: "8000000" }) {
  let fed = 0;
  let refuse = false;
  const sleeps: number[] = [];
  let wake = () => {};
  const clock: Clock = {
    now: () => 0,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        sleeps.push(ms);
        wake = resolve;
        signal?.addEventListener("abort", () => reject(signal.reason));
      }),
  };
  const notifier: Notifier = {
    ready() {},
    status() {},
    stopping() {},
    alive() {
      if (refuse) throw new Error("nobody listens");
      fed++;
    },
  };
  const lines: { msg: string; loops?: string[] }[] = [];
  const log = createLog("info", { write: (line: string) => void lines.push(JSON.parse(line)) });
  const stop = startWatchdog({ notifier, environment, probes, clock, log });
  return {
    stop,
    lines,
    sleeps,
    environment,
    refuse: (value: boolean) => {
      refuse = value;
    },
    fed: () => fed,
    /** One more look; answers how often it fed. */
    async look() {
      await new Promise(setImmediate); // what ended by now is counted
      const before = fed;
      wake();
      await new Promise(setImmediate);
      return fed - before;
    },
  };
}

/** A piece of work that ends when told. */
function work() {
  return Promise.withResolvers<void>();
}

describe("the watchdog", () => {
  it("feeds four times in the interval, beginning at once", async () => {
    const watchdog = harness([]);
    expect(watchdog.fed()).toBe(1);
    expect(await watchdog.look()).toBe(1);
    expect(watchdog.sleeps).toEqual([2000, 2000]);
  });

  it("holds an idle loop for healthy", async () => {
    const watchdog = harness([new CountedWork("dhcp")]);
    for (let turn = 0; turn < 5; turn++) expect(await watchdog.look()).toBe(1);
  });

  it("stops feeding while a loop hangs, names it once, and feeds again when it goes on", async () => {
    const journal = new CountedWork("journal");
    const hung = work();
    const watchdog = harness([new CountedWork("dhcp"), journal]);
    void journal.track(hung.promise);
    expect(await watchdog.look()).toBe(1); // it may have begun this very moment
    expect(await watchdog.look()).toBe(0);
    expect(await watchdog.look()).toBe(0);
    expect(watchdog.lines.map(({ msg, loops }) => [msg, loops])).toEqual([
      ["loops hang, watchdog is not fed", ["journal"]],
    ]);
    hung.resolve();
    expect(await watchdog.look()).toBe(1);
    expect(watchdog.lines.at(-1)?.msg).toBe("loops go on, watchdog is fed again");
  });

  it("feeds a busy loop as long as something ends between looks", async () => {
    const busy = new CountedWork("dhcp");
    void busy.track(work().promise);
    const watchdog = harness([busy]);
    for (let turn = 0; turn < 3; turn++) {
      await busy.track(Promise.resolve());
      expect(await watchdog.look()).toBe(1);
    }
  });

  it("holds a failing loop for healthy: a restart would not cure it", async () => {
    const watchdog = harness([exercise("journal", () => Promise.reject(new Error("disk full")))]);
    for (let turn = 0; turn < 4; turn++) expect(await watchdog.look()).toBe(1);
  });

  it("exercises a loop once a look, never twice at a time, and sees it hang", async () => {
    const runs: PromiseWithResolvers<void>[] = [];
    const watchdog = harness([exercise("dhcp", () => runs[runs.push(work()) - 1]!.promise)]);
    runs[0]!.resolve();
    expect(await watchdog.look()).toBe(1);
    expect(runs.length).toBe(2);
    expect(await watchdog.look()).toBe(0);
    expect(runs.length).toBe(2);
  });

  it("goes on when the supervisor does not listen for a while", async () => {
    const watchdog = harness([]);
    watchdog.refuse(true);
    expect(await watchdog.look()).toBe(0);
    watchdog.refuse(false);
    expect(await watchdog.look()).toBe(1);
  });

  it("does nothing once stopped", async () => {
    const watchdog = harness([]);
    watchdog.stop();
    await new Promise(setImmediate);
    expect(await watchdog.look()).toBe(0);
  });

  it.each([
    ["there is no watchdog", {}, 0],
    ["it watches another process", { WATCHDOG_USEC: "8000000", WATCHDOG_PID: "1" }, 0],
    ["the interval is no number", { WATCHDOG_USEC: "soon" }, 0],
    ["it watches this process", { WATCHDOG_USEC: "8000000", WATCHDOG_PID: String(process.pid) }, 1],
  ])("when %s: %j feeds %i times", (_, environment, times) => {
    const watchdog = harness([], environment);
    expect(watchdog.fed()).toBe(times);
    expect(watchdog.environment).toEqual({});
    watchdog.stop();
  });
});
