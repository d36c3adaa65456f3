import { ApplianceError } from "../errors.ts";

/** A NIC, the network that it shall be in, and how. */
export type Joining = { nic: string; network: string; channel: "native" | "tagged" };

/** One more `NIC=NETWORK` or `NIC=NETWORK:tagged` of an option; a NIC by its MAC, or as the isolator calls it. INVALID. */
export function parseJoining(text: string, earlier: Joining[]): Joining[] {
  const [, nic, network, tagged] = /^([^=]+)=([^=:]+)(:tagged)?$/.exec(text) ?? [];
  if (nic === undefined || network === undefined) {
    throw new ApplianceError("INVALID", `--attach: "${text}" is no NIC with its network`, {
      details: { field: "--attach", value: text, remedy: "write it like eth1=storage, or eth1=storage:tagged" },
    });
  }
  return [...earlier, { nic, network, channel: tagged === undefined ? "native" : "tagged" }];
}
