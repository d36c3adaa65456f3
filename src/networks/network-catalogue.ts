import { OwnedThings } from "../projects/owned-things.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import { MEMBERSHIPS, type MembershipRecord, membershipKey, NETWORKS, type NetworkRecord } from "./network.ts";

/** The networks of projects, and the NICs that are in them. */
export class NetworkCatalogue extends OwnedThings<NetworkRecord> {
  readonly #memberships: Collection<MembershipRecord>;

  constructor(records: Records) {
    super(records.collection(NETWORKS), "network");
    this.#memberships = records.collection(MEMBERSHIPS);
  }

  /** The NICs in a network. */
  membersOf(network: string): MembershipRecord[] {
    return [...this.#memberships.values()].filter((one) => one.network === network);
  }

  /** The changes that end all memberships of a node: it has left every network. */
  endMemberships(node: string): Change[] {
    return this.membershipsOf(node).map((one) => ({ collection: MEMBERSHIPS, key: membershipKey(one), value: null }));
  }

  /** The networks that a node's NICs are in, by id. */
  membershipsOf(node: string): MembershipRecord[] {
    return [...this.#memberships.values()].filter((one) => one.node === node);
  }
}
