import type { InUse, Remark } from "./network-isolator.ts";
import type { OvsState } from "./ovs-state.ts";
import type { Ovsdb } from "./ovsdb.ts";

/** ovs-vswitchd holds it in its database as long as it runs. */
const SWITCH_LOCK = "ovs_vswitchd";

/** Whether ovs-vswitchd runs, and these networks and ports are as they are to be on the bridge; `ports` of nodes, by name. */
export async function inspectOvs(
  ovsdb: Ovsdb,
  { bridge, ports }: { bridge: string; ports: { node: string; nic: string }[] },
  state: OvsState,
  { networks }: InUse,
  signal: AbortSignal,
): Promise<Remark[]> {
  const runs = await ovsdb.isLocked(SWITCH_LOCK, signal);
  const stopped = { message: "does not run: no change reaches the switch", remedy: "systemctl start ovs-vswitchd" };
  const missing = ports.filter(({ nic }) => !state.ports.has(nic));
  return [
    { subject: `bridge ${bridge}`, message: `is there, with ${ports.length - missing.length} ports of nodes` },
    { subject: "ovs-vswitchd", ...(runs ? { message: "runs" } : stopped) },
    ...networks.map(({ name, vlan }): Remark => {
      const there = state.networks.get(name)?.vlan;
      const subject = `network ${name}`;
      if (there === undefined) return { subject, message: "is made when a node is first provisioned on it" };
      if (vlan === undefined || there === vlan) return { subject, message: `is there, VLAN ${there}` };
      const remedy = "release its nodes and have it made anew, or correct networks[].vlan";
      return { subject, message: `is VLAN ${there} there, not ${vlan}`, remedy };
    }),
    ...missing.map(({ node, nic }) => ({
      subject: `port ${nic}`,
      message: `is not on bridge ${bridge}; node ${node} is said to be cabled to it`,
      remedy: `ovs-vsctl add-port ${bridge} ${nic} vlan_mode=trunk trunks=4095, or ingot node cable ${node}`,
    })),
  ];
}
