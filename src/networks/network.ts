import type { OwnedThing } from "../projects/owned-things.ts";
import type { Mac } from "../values/mac.ts";

/** The collection of tenants' networks, keyed by id. Provisioning networks are the configuration's. */
export const NETWORKS = "networks";

/** A network of a project: NICs of its nodes are put into it, and reach each other there. */
export type NetworkRecord = Omit<OwnedThing, "isPublic"> & {
  /** What the isolator calls it: unlike any other's, since several projects may use the name. */
  isolatedAs: string;
  /** As the isolator has it, where that tells. */
  vlan?: number;
  /** False until the isolator has it: only then may NICs be put into it. */
  ready: boolean;
  createdAt: number;
  requestedBy: string;
};

/** The collection of NICs in tenants' networks, keyed by `membershipKey`. */
export const MEMBERSHIPS = "memberships";

/** That a NIC of a provisioned node is in a tenant's network; it ends with the node's release. */
export type MembershipRecord = {
  /** Ids. */
  node: string;
  network: string;
  mac: Mac;
  channel: "native" | "tagged";
  /** As the isolator was told. */
  isolated: { node: string; nic: string; network: string };
  since: number;
};

/** A NIC is in a network once, on whatever channel. */
export function membershipKey({ node, network, mac }: Pick<MembershipRecord, "node" | "network" | "mac">): string {
  return `${node}/${mac}/${network}`;
}
