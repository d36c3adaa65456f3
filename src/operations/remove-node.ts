import type { Appliance } from "./appliance.ts";

/** Forgets a node and its boots. NOT_FOUND; IN_USE while it has a disk; BUSY while an operation is at it. */
export async function removeNode(appliance: Appliance, nameOrId: string): Promise<void> {
  const node = appliance.nodes.get(nameOrId);
  appliance.runner.refuseHeld(node.id);
  await appliance.nodes.remove(node.id);
  for (const { mac } of node.nics) appliance.boots.forget(mac);
}
