import type { NetworkConfig } from "../../config/schema.ts";
import { findInterface, type InterfaceState } from "../../net/interface-state.ts";
import type { Check, Finding } from "./finding.ts";

/** Without an MTU told to them, nodes take this one. */
const ETHERNET_MTU = 1500;

/** Whether each network's interface is there, up, cabled, with the address and the MTU that nodes are told. */
export const interfaceCheck: Check = {
  name: "interfaces",
  run: async ({ appliance }) =>
    appliance.config.networks.map((network) => {
      const state = findInterface(network.interface);
      const fault = findFault(network, state);
      const about = { check: "interfaces", subject: network.interface };
      if (fault) return { ...about, ...fault };
      return { ...about, state: "ok", message: `up, with ${network.address}, MTU ${state?.mtu}` };
    }),
};

type Fault = Required<Pick<Finding, "state" | "message" | "remedy">>;

/** What is wrong with a network's interface: the fault that has to be mended first. */
function findFault(
  { interface: name, address, subnet, mtu: told }: NetworkConfig,
  state: InterfaceState | undefined,
): Fault | undefined {
  const failed = (message: string, remedy: string): Fault => ({ state: "failed", message, remedy });
  if (!state) return failed("there is no such interface", "compare networks[].interface with ip link");
  if (!state.isUp) return failed("is down", `ip link set ${name} up`);
  const own = state.addresses.find((one) => one.address === address);
  if (!own) {
    const others = state.addresses.map((one) => one.address).join(", ");
    const remedy = `ip address add ${address}/${subnet.prefix} dev ${name}`;
    if (!others) return failed(`has no IPv4 address, not ${address}`, remedy);
    return failed(`has ${others}, not ${address}`, `${remedy}, or correct networks[].address`);
  }
  if (own.prefix !== subnet.prefix) {
    const remedy = `ip address replace ${address}/${subnet.prefix} dev ${name}, or correct networks[].subnet`;
    return failed(`has ${address}/${own.prefix}, but the network is a /${subnet.prefix}`, remedy);
  }
  if (told !== undefined && told > state.mtu) {
    const remedy = `ip link set ${name} mtu ${told}, or take networks[].mtu down to ${state.mtu}`;
    return failed(`its MTU is ${state.mtu}, and nodes are told ${told}`, remedy);
  }
  if (told === undefined && state.mtu < ETHERNET_MTU) {
    const message = `its MTU is ${state.mtu}, and nodes are not told`;
    return { state: "warning", message, remedy: `set networks[].mtu to ${state.mtu}` };
  }
  if (state.hasCarrier) return undefined;
  const remedy = "look at the cable and the switch port; on a bridge, at its ports";
  return { state: "warning", message: "has no carrier: nothing that is on is connected to it", remedy };
}
