import { chown } from "node:fs/promises";
import { NOBODY } from "./as-nobody.ts";
import { recordNamespace } from "./lab-state.ts";
import { createLabNetwork, type LabNetwork, type LabNetworkOptions, makeTap } from "./namespace.ts";
import { OpenVswitch } from "./open-vswitch.ts";
import { runProgram } from "./program.ts";

/** The one bridge that all nodes are cabled to. */
export const BRIDGE = "rack";
/** VLANs of provisioning networks count on from here. */
const FIRST_VLAN = 10;

/** First three bytes of the addresses that BMCs may have: the appliance's side of a network that no node shall reach. */
export const BMC_NETWORK = "10.79.0";

/** A lab network whose provisioning networks are VLANs of one Open vSwitch. */
export type SwitchedNetwork = LabNetwork & { ovs: OpenVswitch };

/** The VLAN of the provisioning network with that number. */
export function vlanOf(index: number): number {
  return FIRST_VLAN + index;
}

/**
 * Makes it, with the datapath in user space, which needs no module of the kernel, in a namespace without addresses: there the
 * kernel sees what comes in at a port as well, and would answer. The appliance is cabled to a port in each VLAN; the ports
 * of nodes are closed until an isolator opens them.
 */
export async function createSwitchedNetwork(options: LabNetworkOptions): Promise<SwitchedNetwork> {
  const { stateDirectory, namespace, bridges } = options;
  const network = await createLabNetwork({ ...options, bridges: [] });
  const portsIn = `${namespace}-switch`;
  await recordNamespace(stateDirectory, portsIn);
  await runProgram("ip", ["netns", "add", portsIn]);
  const ovs = new OpenVswitch({ stateDirectory, namespace: portsIn });
  await ovs.start();
  await chown(ovs.socket, NOBODY, NOBODY);
  await ovs.vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev");

  // all of it, for loopback
  await network.run(["ip", "address", "add", `${BMC_NETWORK}.254/24`, "dev", "lo"]);
  const addPort = async (port: string, settings: string[]) => {
    await bareFrames(portsIn, port);
    await runProgram("ip", ["-n", portsIn, "link", "set", port, "up"]);
    await ovs.vsctl("--may-exist", "add-port", BRIDGE, port, "--", "set", "port", port, ...settings);
  };
  const plug = (port: string) => addPort(port, ["vlan_mode=trunk", "trunks=4095", "protected=true"]);
  for (const [index, bridge] of bridges.entries()) {
    const port = `to-${bridge.name}`;
    await network.run(["ip", "link", "add", bridge.name, "type", "veth", "peer", "name", port, "netns", portsIn]);
    await bareFrames(namespace, bridge.name);
    await addPort(port, [`tag=${vlanOf(index)}`]);
    await network.bringUp(bridge);
  }
  return {
    ...network,
    portsIn,
    ovs,
    plug,
    addTap: async (tap) => {
      await makeTap(portsIn, tap);
      await plug(tap);
    },
  };
}

/** Has the kernel complete frames before they leave: no network card does that here for whoever reads them. */
async function bareFrames(namespace: string, port: string): Promise<void> {
  await runProgram("nsenter", [`--net=/run/netns/${namespace}`, "ethtool", "-K", port, "tx", "off"]);
}
