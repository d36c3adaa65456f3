import type { Collection } from "../store/records.ts";
import type { Mac } from "../values/mac.ts";
import type { NodeRecord } from "./node.ts";

/**
 * A look-up of the node that has this NIC, in any role. What it remembers is checked against the
 * record each time, so it is never stale; only a MAC that nobody registered costs a walk over all nodes.
 */
export function nodeByMac(nodes: Collection<NodeRecord>): (mac: Mac) => NodeRecord | undefined {
  const ids = new Map<Mac, string>();
  return (mac) => {
    const remembered = nodes.get(ids.get(mac) ?? "");
    if (remembered && hasNic(remembered, mac)) return remembered;
    ids.delete(mac);
    for (const node of nodes.values()) {
      if (!hasNic(node, mac)) continue;
      ids.set(mac, node.id);
      return node;
    }
    return undefined;
  };
}

function hasNic(node: NodeRecord, mac: Mac): boolean {
  return node.nics.some((nic) => nic.mac === mac);
}
