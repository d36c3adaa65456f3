import { ApplianceError } from "../../errors.ts";
import { abortedError } from "../failure.ts";
import { Turns } from "../turns.ts";
import { type CipherSuite, type IpmiAccount, runIpmitool, SuiteRefused } from "./ipmitool.ts";

const SUITES: CipherSuite[] = [17, 3];

/** What all drivers of a process know of the BMCs, keyed by `address:port`. */
export type IpmiShared = {
  turns: Turns;
  /** The cipher suite that worked last. */
  suites: Map<string, CipherSuite>;
  /** Deadline of one call, once it is its turn. */
  callSeconds: number;
};

/** Made once per process. `callSeconds`: default 30. */
export function createIpmiShared(callSeconds = 30): IpmiShared {
  return { turns: new Turns(), suites: new Map(), callSeconds };
}

/** The commands to one BMC, one at a time, in the cipher suite that it takes. */
export class IpmiCommands {
  /** `address:port`. */
  readonly bmc: string;
  readonly #account: IpmiAccount;
  readonly #shared: IpmiShared;

  constructor(account: IpmiAccount, shared: IpmiShared) {
    this.bmc = `${account.address}:${account.port}`;
    this.#account = account;
    this.#shared = shared;
  }

  /** The cipher suite that it takes, as far as is known, or else the one to try first. */
  get suite(): CipherSuite {
    return this.#shared.suites.get(this.bmc) ?? (SUITES[0] as CipherSuite);
  }

  /** What ipmitool prints for a command (`chassis power status`), once it is its turn. Errors as in PowerControl. */
  async run(command: string, signal: AbortSignal): Promise<string> {
    const turn = this.#shared.turns.take(this.bmc, () => {
      const deadline = AbortSignal.timeout(this.#shared.callSeconds * 1000);
      return this.#tryInSuites(command, AbortSignal.any([signal, deadline]));
    });
    return (await orAborted(turn, signal, command)).trim();
  }

  /** Tries the cipher suite that worked last, then the others. */
  async #tryInSuites(command: string, signal: AbortSignal): Promise<string> {
    const order = [this.suite, ...SUITES.filter((suite) => suite !== this.suite)];
    for (const suite of order) {
      try {
        const output = await runIpmitool(this.#account, suite, command.split(" "), signal);
        this.#shared.suites.set(this.bmc, suite);
        return output;
      } catch (error) {
        if (!(error instanceof SuiteRefused)) throw error;
      }
    }
    throw new ApplianceError("UNSUPPORTED", `${command}: BMC ${this.bmc} takes neither cipher suite 17 nor 3`, {
      details: { driver: "ipmi", action: command, bmc: this.bmc, remedy: "enable cipher suite 17 or 3 on the BMC" },
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
