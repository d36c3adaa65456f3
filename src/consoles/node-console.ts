import { setMaxListeners } from "node:events";
import type { Clock } from "../clock.ts";
import type { SerialConsole, SerialLine } from "../drivers/console/serial-console.ts";
import { ApplianceError, toApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { ConsoleLog } from "./console-log.ts";
import { FlowLimit } from "./flow-limit.ts";
import { Follower } from "./follower.ts";
import type { Pace } from "./pace.ts";

const OPEN_SECONDS = 60;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 120_000;
/** A line that was open for so long was no failure. */
const STEADY_MS = 30_000;
const BYTES_PER_SECOND = 256 * 1024;
/** A stream each; the log itself may be read by any number. */
const MAX_FOLLOWERS = 16;

/** How a line is: `waiting` to be opened anew, and why. Moments in milliseconds since the epoch. */
export type ConsoleState = {
  state: "opening" | "open" | "waiting";
  since: number;
  why?: string;
  remedy?: string;
};

export type NodeConsoleParts = {
  /** Name of the node. */
  name: string;
  /** How to reach the line, as things are now. May throw what keeps us from it. */
  serialConsole: () => SerialConsole;
  record: ConsoleLog;
  pace: Pace;
  clock: Clock;
  log: Log;
};

/** The serial line of one node for one project: kept open, logged, shown to whoever follows it. */
export class NodeConsole {
  readonly #parts: NodeConsoleParts;
  readonly #stop = new AbortController();
  readonly #followers = new Set<Follower>();
  readonly #flow = new FlowLimit(BYTES_PER_SECOND);
  #dropped = 0;
  #line: SerialLine | undefined;
  #state: ConsoleState;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: NodeConsoleParts) {
    this.#parts = parts;
    this.#state = { state: "opening", since: parts.clock.now() };
    // each try listens for the end
    setMaxListeners(0, this.#stop.signal);
  }

  get state(): ConsoleState {
    return this.#state;
  }

  /** What is kept of what it said. */
  get record(): Pick<ConsoleLog, "start" | "end" | "read"> {
    return this.#parts.record;
  }

  start(): void {
    this.#running = this.#keepOpen();
  }

  /** Ends the line, and with it all who follow it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    for (const follower of this.#followers) follower.end();
    this.#followers.clear();
    await this.#running;
    await this.#parts.record.settled();
  }

  /** Types. CONFLICT while the line is not open, or is given up; THROTTLED when it takes no more for now. Nothing of it is typed then. */
  type(bytes: Uint8Array): void {
    const isGivenUp = this.#stop.signal.aborted;
    if (!this.#line || isGivenUp) {
      const { why = isGivenUp ? "it is given up" : "the BMC is asked", remedy } = this.#state;
      throw new ApplianceError("CONFLICT", `the console of ${this.#parts.name} is not open: ${why}`, {
        details: { field: "node", value: this.#parts.name, remedy: remedy ?? "wait a moment" },
      });
    }
    if (this.#line.write(bytes)) return;
    throw new ApplianceError("THROTTLED", `the console of ${this.#parts.name} takes no more for now`, {
      details: { field: "node", value: this.#parts.name, remedy: "type slower: it is as slow as a serial line" },
      retryable: true,
    });
  }

  /**
   * What is kept from a place on, then what comes, until the signal fires or the line is given up. THROTTLED when too many
   * follow it already.
   */
  follow(from: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { name, record } = this.#parts;
    if (this.#followers.size >= MAX_FOLLOWERS) {
      throw new ApplianceError("THROTTLED", `${MAX_FOLLOWERS} follow the console of ${name} already`, {
        details: { remedy: "read its log (ingot console NODE --log), or end another one" },
      });
    }
    const follower = new Follower();
    const end = () => {
      follower.end();
      this.#followers.delete(follower);
    };
    signal.addEventListener("abort", end, { once: true });
    this.#followers.add(follower);
    if (signal.aborted || this.#stop.signal.aborted) end();
    // asked for in the same turn as the follower began: nothing is missed, and nothing comes twice
    return this.#show(record.read(from, record.end), follower);
  }

  async *#show(earlier: Promise<Buffer>, follower: Follower): AsyncGenerator<Buffer> {
    const kept = await earlier;
    if (kept.length > 0) yield kept;
    for (let next = await follower.next(); next; next = await follower.next()) {
      if (next.dropped > 0) yield this.#note(`${next.dropped} bytes dropped, too fast for you`);
      yield next.bytes;
    }
  }

  async #keepOpen(): Promise<void> {
    const { pace, clock } = this.#parts;
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      const began = clock.now();
      try {
        await pace.turn(signal);
        const why = await this.#holdOpen();
        failures = clock.now() - began > STEADY_MS ? 1 : failures + 1;
        this.#tellEnd(why);
      } catch (error) {
        failures += 1;
        if (!signal.aborted) this.#tellFailure(error);
      }
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
      // not all at once when a switch comes back
      await clock.sleep(pause * (0.75 + Math.random() / 2), signal).catch(() => {});
    }
  }

  /** Opens the line and waits for its end; answers why. */
  async #holdOpen(): Promise<string> {
    const { clock, serialConsole } = this.#parts;
    const { signal } = this.#stop;
    const opening = AbortSignal.any([signal, AbortSignal.timeout(OPEN_SECONDS * 1000)]);
    const line = await serialConsole().open((bytes) => this.#hear(bytes), opening);
    this.#line = line;
    this.#state = { state: "open", since: clock.now() };
    this.#hear(this.#note("console open"));
    const close = () => void line.close();
    signal.addEventListener("abort", close, { once: true });
    if (signal.aborted) close();
    try {
      return await line.ended;
    } finally {
      signal.removeEventListener("abort", close);
      this.#line = undefined;
    }
  }

  #tellEnd(why: string): void {
    const { clock, log, name } = this.#parts;
    const reason = this.#stop.signal.aborted ? "ingotd ends it" : why || "it ended without a word";
    this.#state = { state: "waiting", since: clock.now(), why: reason };
    this.#hear(this.#note(`console closed: ${reason}`));
    log.info({ node: name, why: reason }, "console closed");
  }

  #tellFailure(error: unknown): void {
    const { clock, log, name } = this.#parts;
    const { code, message, details } = toApplianceError(error);
    const remedy = typeof details.remedy === "string" ? { remedy: details.remedy } : {};
    const isNews = this.#state.why !== message;
    this.#state = { state: "waiting", since: isNews ? clock.now() : this.#state.since, why: message, ...remedy };
    if (isNews) log.warn({ node: name, code, err: code === "INTERNAL" ? error : message }, "console can't be opened");
  }

  /** What came goes into the log, and to all who follow; too much of it is dropped. */
  #hear(bytes: Uint8Array): void {
    const { clock, record } = this.#parts;
    const note = this.#dropped > 0 ? this.#note(`${this.#dropped} bytes dropped, too many at once`) : undefined;
    const all = note ? Buffer.concat([note, bytes]) : bytes;
    if (!this.#flow.admits(all.length, clock.now()) || !record.append(all)) {
      this.#dropped += bytes.length;
      return;
    }
    this.#dropped = 0;
    for (const follower of this.#followers) follower.push(all);
  }

  /** A line of ours among the machine's. */
  #note(text: string): Buffer {
    return Buffer.from(`\r\n[ingot ${new Date(this.#parts.clock.now()).toISOString()}: ${text}]\r\n`);
  }
}
