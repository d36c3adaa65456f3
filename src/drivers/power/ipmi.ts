import { isApplianceError } from "../../errors.ts";
import { driverFailed } from "../failure.ts";
import { IpmiCommands, type IpmiShared } from "./ipmi-commands.ts";
import type { IpmiAccount } from "./ipmitool.ts";
import type { PowerControl } from "./power-control.ts";
import { secondsSinceStart } from "./sel-restart.ts";

/** Of the event log: a restart writes a dozen entries on a talkative BMC, and each takes it a while to tell. */
const NEWEST_ENTRIES = 32;

/** Power by IPMI 2.0 over LAN, through `ipmitool`. */
export class IpmiPower implements PowerControl {
  readonly #commands: IpmiCommands;

  constructor(account: IpmiAccount, shared: IpmiShared) {
    this.#commands = new IpmiCommands(account, shared);
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
    const output = await this.#commands.run(command, signal);
    const match = answer.exec(output);
    if (match) return match;
    const { bmc } = this.#commands;
    throw driverFailed("ipmi", command, `BMC ${bmc} answered something else than expected`, {
      details: { bmc, output: output.slice(0, 200) },
    });
  }
}
