import type { LabNetwork } from "./namespace.ts";
import type { VirtualNode } from "./virtual-node.ts";

/** Sends a command to a node's BMC as somebody with ipmitool would, past the appliance: `["chassis", "power", "on"]`. */
export function bmcCommand(network: LabNetwork, { bmc }: VirtualNode, command: string[]): Promise<string> {
  const { address, port, user, password } = bmc;
  const account = ["-H", address, "-p", String(port), "-U", user, "-E"];
  return network.run(["ipmitool", "-I", "lanplus", "-C", "3", ...account, ...command], {
    env: { ...process.env, IPMI_PASSWORD: password },
  });
}
