import type { Collection, Records } from "../store/records.ts";

/** The collection of who has which node at the network isolator, keyed by the node's id. */
export const ALLOCATIONS = "allocations";

/**
 * That a project has a node at the isolator: from before its networks change until after they are gone. All names are
 * those that the isolator was told, so that a release takes back the same, whatever the configuration says by then.
 */
export type AllocationRecord = {
  /** The project, by its name here. */
  project: string;
  /** The node and the project, as the isolator calls them. */
  isolated: { node: string; project: string };
  /** The NIC that it boots from, and the provisioning network that this is in. */
  boot: { nic: string; network: string };
  since: number;
};

/** Who has this node at the isolator; undefined for nobody, and where nothing is isolated. */
export function allocationOf(records: Records, node: string): AllocationRecord | undefined {
  return (records.collection(ALLOCATIONS) as Collection<AllocationRecord>).get(node);
}
