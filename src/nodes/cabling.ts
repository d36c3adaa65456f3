import type { Mac } from "../values/mac.ts";
import { isolatedName } from "./node.ts";
import type { NodeRegistry } from "./node-registry.ts";

/** The NICs of which it is known where they are cabled to, by the isolator's names of nodes and NICs. */
export function cablingOf(nodes: NodeRegistry): Record<string, { nic: string; mac: Mac }[]> {
  return Object.fromEntries(
    nodes.list().flatMap((node) => {
      const cabled = node.nics.flatMap(({ port, mac }) => (port === undefined ? [] : [{ nic: port, mac }]));
      return cabled.length === 0 ? [] : [[isolatedName(node), cabled]];
    }),
  );
}
