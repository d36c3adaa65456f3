import { ApplianceError, isApplianceError } from "../../errors.ts";
import { abortedError, driverFailed } from "../failure.ts";
import type { Turns } from "../turns.ts";
import { type CipherSuite, type IpmiAccount, runIpmitool, SuiteRefused } from "./ipmitool.ts";
import type { PowerControl } from "./power-control.ts";
import { secondsSinceStart } from "./sel-restart.ts";

const SUITES: CipherSuite[] = [17, 3];
/** Of the event log: a restart writes a dozen entries on a talkative BMC, and each takes it a while to tell. */
const NEWEST_ENTRIES = 32;

/** What all power controls of a process know of the BMCs, keyed by `address:port`. */
export type IpmiShared = {
  turns: Turns;
  suites: Map<string, CipherSuite>;
  /** Deadline of one call, once it is its turn. */
  callSeconds: number;
};

/** Power by IPMI 2.0 over LAN, through `ipmitool`. */
export class IpmiPower implements PowerControl {
  readonly #account: IpmiAccount;
  readonly #shared: IpmiShared;
  readonly #bmc: string;

  constructor(account: IpmiAccount, shared: IpmiShared) {
    this.#account = account;
    this.#shared = shared;
    this.#bmc = `${account.address}:${account.port}`;
  }

  async status(signal: AbortSignal): Promise<"on" | "off"> {
    const [, state] = await this.#call("chassis power status", /^Chassis Power is (on|off)$/, signal);
    return state as "on" | "off";
  }

  async on(signal: AbortSignal): Promise<void> {
    await this.#power("on", /^Chassis Power Control: Up\/On$/, "on", signal);
  }

  async off(signal: AbortSignal): Promise<void> {
    await this.#power("off", /^Chassis Power Control: Down\/Off$/, "off", signal);
  }

  async softOff(signal: AbortSignal): Promise<void> {
    await this.#power("soft", /^Chassis Power Control: Soft$/, "off", signal);
  }

  async reset(signal: AbortSignal): Promise<void> {
    await this.#power("reset", /^Chassis Power Control: Reset$/, "off", signal);
  }

  async sinceRestart(signal: AbortSignal): Promise<number | undefined> {
    await this.status(signal); // says best what keeps us from a BMC
    const [list] = await this.#call(`sel list last ${NEWEST_ENTRIES}`, /^.*$/s, signal);
    const [clock] = await this.#call("sel time get", /^.*$/, signal);
    return secondsSinceStart(list, clock);
  }

  async setBootDevice(device: "network" | "disk", firmware: "bios" | "uefi", signal: AbortSignal): Promise<void> {
    const name = device === "network" ? "pxe" : "disk";
    // Without `efiboot` some BMCs switch the firmware to legacy BIOS boot.
    const options = firmware === "uefi" ? "options=persistent,efiboot" : "options=persistent";
    await this.#call(`chassis bootdev ${name} ${options}`, new RegExp(`^Set Boot Device to ${name}$`), signal);
  }

  /** A power command; one that the BMC refuses because the machine is in the state `fine` already has done its work. */
  async #power(verb: string, answer: RegExp, fine: "on" | "off", signal: AbortSignal): Promise<void> {
    try {
      await this.#call(`chassis power ${verb}`, answer, signal);
    } catch (error) {
      const refused = isApplianceError(error, "DRIVER_FAILED") && error.details.presentState === true;
      if (!refused || (await this.status(signal)) !== fine) throw error;
    }
  }

  /** Runs a command in its turn, and answers the one line that must come of it. */
  async #call(command: string, answer: RegExp, signal: AbortSignal): Promise<RegExpExecArray> {
    const turn = this.#shared.turns.take(this.#bmc, () => {
      const deadline = AbortSignal.timeout(this.#shared.callSeconds * 1000);
      return this.#tryInSuites(command, AbortSignal.any([signal, deadline]));
    });
    const output = await orAborted(turn, signal, command);
    const match = answer.exec(output.trim());
    if (match) return match;
    throw driverFailed("ipmi", command, `BMC ${this.#bmc} answered something else than expected`, {
      details: { bmc: this.#bmc, output: output.slice(0, 200) },
    });
  }

  /** Tries the cipher suite that worked last, then the others. */
  async #tryInSuites(command: string, signal: AbortSignal): Promise<string> {
    const { suites } = this.#shared;
    const known = suites.get(this.#bmc);
    const order = known === undefined ? SUITES : [known, ...SUITES.filter((suite) => suite !== known)];
    for (const suite of order) {
      try {
        const output = await runIpmitool(this.#account, suite, command.split(" "), signal);
        suites.set(this.#bmc, suite);
        return output;
      } catch (error) {
        if (!(error instanceof SuiteRefused)) throw error;
      }
    }
    throw new ApplianceError("UNSUPPORTED", `${command}: BMC ${this.#bmc} takes neither cipher suite 17 nor 3`, {
      details: { driver: "ipmi", action: command, bmc: this.#bmc, remedy: "enable cipher suite 17 or 3 on the BMC" },
    });
  }
}

/** The result, unless the signal fires first: whoever gives up while others have their turn need not wait for his. */
async function orAborted<T>(result: Promise<T>, signal: AbortSignal, action: string): Promise<T> {
  if (signal.aborted) {
    result.catch(() => {});
    throw abortedError(signal, "ipmi", action);
  }
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(abortedError(signal, "ipmi", action));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([result, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
