import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";

/** A network card of a node. A node boots from the NIC with role `boot`. */
export type Nic = {
  mac: Mac;
  /** Provisioning network (config) that it is cabled to; absent for cards that Ingot does not serve. */
  network?: string;
  role: "boot" | "data";
  /** A fixed address wished for by the operator; without it one is chosen and pinned when a boot entry is made. */
  address?: Ipv4;
  /** What the network isolator calls it: HIL's label of the NIC, or the port of the switch that it is cabled to. */
  port?: string;
};

/** How power is controlled. Passwords are never stored here: a file or an environment variable is named. */
export type NodePower =
  | { driver: "manual" }
  | {
      driver: "hil";
      /** What HIL calls the node; absent where that is its name here. */
      hilNode?: string;
    }
  | {
      driver: "ipmi";
      address: string;
      port: number;
      user: string;
      passwordFile?: string;
      passwordEnvironment?: string;
    };

/** A bare-metal machine that somebody registered. */
export type NodeRecord = {
  id: string;
  name: string;
  project: string;
  nics: Nic[];
  /** What the firmware is, for the BMC's boot-device call; the boot path itself sees it in packets. */
  firmware: "bios" | "uefi";
  /** `auto`: a capable iPXE in the firmware is used as it is; `ours`: our loader is always chained first. */
  loader: "auto" | "ours";
  power: NodePower;
  /** What the network isolator calls the node; absent where that is HIL's name for its power, or its name here. */
  isolatedAs?: string;
  /**
   * Since when, and by a disk of which project, an OS may have written to its own drives; absent once they were wiped.
   * `allowedTo`: the project that may have it nevertheless, by an operator's word.
   */
  dirty?: { project: string; since: number; allowedTo?: string };
  createdAt: number;
  requestedBy: string;
};

/** The node that has this NIC, in any role; constant time, since every boot request asks. */
export type FindNode = (mac: Mac) => NodeRecord | undefined;

/** What the network isolator calls a node. */
export function isolatedName({ name, isolatedAs, power }: Pick<NodeRecord, "name" | "isolatedAs" | "power">): string {
  return isolatedAs ?? (power.driver === "hil" ? power.hilNode : undefined) ?? name;
}

/** The NIC that a node boots from. */
export function bootNic(node: NodeRecord): Nic & { network: string } {
  const nic = node.nics.find((one) => one.role === "boot" && one.network !== undefined);
  if (!nic) throw new Error(`node ${node.name} was stored without a boot NIC`);
  return nic as Nic & { network: string };
}
