import type { Rack } from "./rack.ts";

/** What a node took from its network disk, in bytes, over all sessions of its boots, and how large the disk is. */
export type BootCost = { readBytes: number; writtenBytes: number; diskBytes: number };

type Node = { boots?: { disk: string; readBytes: number; writtenBytes: number } };

/** Reads the appliance's counters of a provisioned node. They are as old as its last look at the target server: a second. */
export async function measureBootCost(rack: Rack, node: string, project = "default"): Promise<BootCost> {
  const whose = ["--project", project];
  const { boots } = await rack.ingotJson<Node>("node", "show", node, ...whose);
  if (!boots) throw new Error(`node ${node} is not provisioned`);
  const { readBytes, writtenBytes } = boots;
  const { sizeBytes } = await rack.ingotJson<{ sizeBytes: number }>("disk", "show", boots.disk, ...whose);
  return { readBytes, writtenBytes, diskBytes: sizeBytes };
}
