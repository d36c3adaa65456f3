import { setTimeout as sleep } from "node:timers/promises";
import { type IPty, spawn } from "node-pty";
import { isApplianceError } from "../../errors.ts";
import { driverFailed, throwIfAborted } from "../failure.ts";
import { IpmiCommands, type IpmiShared } from "../power/ipmi-commands.ts";
import { type CipherSuite, type IpmiAccount, ipmitoolEnvironment } from "../power/ipmitool.ts";
import { PtyInput } from "./pty-input.ts";
import type { SerialConsole, SerialLine } from "./serial-console.ts";
import { SOL_END, SolEscape } from "./sol-escape.ts";

const DRIVER = "ipmi-sol";
const ACTION = "sol activate";
/** ipmitool's word for a line that is open; everything after it comes from the machine. */
const OPEN = /\[SOL Session operational\.[^\n]*\n/;
const TAKEN = /SOL payload already active/;
/** What it says before is a line or two. */
const MAX_PREAMBLE = 16 * 1024;
/** Of the end of a session, where ipmitool says why. */
const LAST_WORDS = 400;
const CLOSE_MS = 2_000;
/** Get Payload Activation Status, of SOL (IPMI 2.0, 24.4): how many there may be at once, then a bit for each. */
const PAYLOAD_STATUS = "raw 0x06 0x4a 0x01";
const DEAF = "its session on the BMC was ended by somebody else";

/** A serial line over LAN by IPMI 2.0 (SOL), through `ipmitool`, which wants a terminal for it. */
export class IpmiSolConsole implements SerialConsole {
  readonly #account: IpmiAccount;
  readonly #commands: IpmiCommands;
  readonly #silentSeconds: number;

  /** `silentSeconds`: after so long without a byte the BMC is asked whether it serves the line at all. */
  constructor(account: IpmiAccount, shared: IpmiShared, silentSeconds: number) {
    this.#account = account;
    this.#commands = new IpmiCommands(account, shared);
    this.#silentSeconds = silentSeconds;
  }

  async open(hear: (bytes: Uint8Array) => void, signal: AbortSignal): Promise<SerialLine> {
    let heard = performance.now();
    const line = await this.#open((bytes) => {
      heard = performance.now();
      hear(bytes);
    }, signal);
    void this.#endOnceDeaf(line, () => performance.now() - heard);
    return line;
  }

  /**
   * `ipmitool` doesn't learn that somebody else ended its session, and would listen for ever. While that somebody has the line
   * there is a session, theirs: it is left to them.
   */
  async #endOnceDeaf(line: OpenLine, silentMs: () => number): Promise<void> {
    const ended = new AbortController();
    void line.ended.then(() => ended.abort());
    try {
      for (;;) {
        await sleep(this.#silentSeconds * 1000, undefined, { signal: ended.signal, ref: false });
        const isSilent = () => silentMs() >= this.#silentSeconds * 1000;
        if (isSilent() && !(await this.#isServed(ended.signal)) && isSilent()) return line.kill(DEAF);
      }
    } catch {
      // it has ended
    }
  }

  async #isServed(signal: AbortSignal): Promise<boolean> {
    try {
      const [, ...active] = (await this.#commands.run(PAYLOAD_STATUS, signal)).split(/\s+/);
      return active.some((byte) => byte !== "00");
    } catch {
      // of a BMC that gives no answer ipmitool tells by itself; one that can't tell now may the next time
      return true;
    }
  }

  async #open(hear: (bytes: Uint8Array) => void, signal: AbortSignal): Promise<OpenLine> {
    const { suite, bmc } = this.#commands;
    const first = await activate(this.#account, suite, hear, signal);
    if (typeof first !== "string") return first;
    // a session that nobody ended: of a former life, or of somebody else
    if (TAKEN.test(first)) await this.#deactivate(signal);
    // says best what keeps us from a BMC, and finds the cipher suite that it takes
    else await this.#commands.run("chassis power status", signal);
    const second = await activate(this.#account, this.#commands.suite, hear, signal);
    if (typeof second !== "string") return second;
    throw driverFailed(DRIVER, ACTION, `BMC ${bmc}: ${second || "ended without a word"}`, {
      details: {
        bmc,
        remedy: "see whether serial over LAN is enabled on the BMC, for this user too (ipmitool sol info)",
      },
    });
  }

  async #deactivate(signal: AbortSignal): Promise<void> {
    try {
      await this.#commands.run("sol deactivate", signal);
    } catch (error) {
      // it has ended by itself meanwhile; if not, the next try tells
      if (!isApplianceError(error, "DRIVER_FAILED")) throw error;
    }
  }
}

/** `kill`: ends it without a word to the BMC. */
type OpenLine = SerialLine & { kill(why: string): void };

/** Starts ipmitool; the open line, or what it said when it ended without one. */
async function activate(
  account: IpmiAccount,
  suite: CipherSuite,
  hear: (bytes: Uint8Array) => void,
  signal: AbortSignal,
): Promise<OpenLine | string> {
  throwIfAborted(signal, DRIVER, ACTION);
  const { address, port, user } = account;
  const session = ["-I", "lanplus", "-C", String(suite), "-H", address, "-p", String(port), "-U", user, "-E"];
  // it ends with this process: a terminal that others hold too (children begun meanwhile do) would not tell it
  const args = ["--pdeathsig", "KILL", "ipmitool", ...session, "-N", "2", "-R", "2", "sol", "activate"];
  const env = ipmitoolEnvironment(account);
  let pty: IPty;
  try {
    pty = spawn("setpriv", args, { name: "dumb", cols: 80, rows: 25, env, encoding: null });
  } catch (cause) {
    throw driverFailed(DRIVER, ACTION, "no terminal for ipmitool", {
      details: { remedy: "see kernel.pty.max and the limits of ingotd's unit" },
      cause,
    });
  }
  const { promise: opened, resolve: open } = Promise.withResolvers<OpenLine | string>();
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  const sol = new SolEscape();
  let hasEnded = false;
  let preamble: string | undefined = "";
  let lastWords = "";
  let reason: string | undefined;
  const kill = () => {
    // 0 and -1 are whole groups of processes
    if (!hasEnded && pty.pid > 1) process.kill(pty.pid, "SIGKILL");
  };
  let input: PtyInput;
  try {
    // node-pty tells it, its types do not
    input = new PtyInput((pty as IPty & { fd: number }).fd);
  } catch (error) {
    kill();
    throw error;
  }
  const line: OpenLine = {
    write: (bytes) => {
      const { isAtLineStart } = sol;
      const taken = input.write(sol.encode(bytes));
      if (!taken) sol.isAtLineStart = isAtLineStart;
      return taken;
    },
    ended,
    close: async () => {
      if (hasEnded) return;
      // in the middle of a line that would be typed to the machine; the BMC then waits until somebody opens it anew
      if (!sol.isAtLineStart || !input.write(Buffer.from(SOL_END))) kill();
      const late = setTimeout(kill, CLOSE_MS);
      await ended;
      clearTimeout(late);
    },
    kill: (why) => {
      reason = why;
      kill();
    },
  };
  const onOutput = (bytes: Buffer) => {
    lastWords = (lastWords + bytes.toString("latin1")).slice(-LAST_WORDS);
    if (preamble === undefined) return hear(bytes);
    preamble = (preamble + bytes.toString("latin1")).slice(-MAX_PREAMBLE);
    const match = OPEN.exec(preamble);
    if (!match) return;
    const rest = preamble.slice(match.index + match[0].length);
    preamble = undefined;
    open(line);
    if (rest) hear(Buffer.from(rest, "latin1"));
  };
  // without an encoding, what comes are bytes
  pty.onData((data) => onOutput(data as unknown as Buffer));
  pty.onExit(() => {
    hasEnded = true;
    input.close();
    end(reason ?? lastLine(lastWords));
    open(lastLine(lastWords));
  });
  signal.addEventListener("abort", kill, { once: true });
  try {
    const result = await opened;
    if (typeof result === "string") throwIfAborted(signal, DRIVER, ACTION);
    return result;
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

function lastLine(text: string): string {
  const lines = text.replace(/[^\x20-\x7e\n]/g, "").split("\n");
  return lines.map((one) => one.trim()).findLast((one) => one !== "") ?? "";
}
