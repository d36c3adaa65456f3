import { ApplianceError } from "../../errors.ts";
import type { IpmiShared } from "../power/ipmi-commands.ts";
import type { BmcAccount } from "../power/power-control.ts";
import { IpmiSolConsole } from "./ipmi-sol.ts";
import type { SerialConsole } from "./serial-console.ts";

/** The serial line of the machine behind an account. Cheap: ask anew for each use. */
export type SerialConsoles = (account: BmcAccount) => SerialConsole;

/** A rack of 48 silent machines is then asked every 2.5 s. */
const SILENT_SECONDS = 120;

/**
 * Makes the serial consoles of a process. `shared`: what its power controls know of the BMCs, too. `silentSeconds`: after so
 * long without a byte a line is looked after.
 */
export function createSerialConsoles(shared: IpmiShared, silentSeconds = SILENT_SECONDS): SerialConsoles {
  return (account) => (account.driver === "ipmi" ? new IpmiSolConsole(account, shared, silentSeconds) : NONE);
}

const NONE: SerialConsole = {
  open: async () => {
    throw new ApplianceError("UNSUPPORTED", "only nodes with an IPMI BMC have a console", {
      details: { remedy: "register the node with --bmc ipmi://USER@HOST, where its BMC can serial over LAN" },
    });
  },
};
