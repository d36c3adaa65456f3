import { join } from "node:path";
import { createStorageClient } from "../../src/storaged/client.ts";
import type { Rack, RackNode } from "./rack.ts";

/** What one boot took from the network disk, in bytes, since its target was made. */
export type BootCost = { readBytes: number; writtenBytes: number; diskBytes: number };

/** Reads the target server's counters of a node's disk: all sessions together, iPXE's and the OS's. */
export async function measureBootCost(rack: Rack, node: Pick<RackNode, "name">): Promise<BootCost> {
  const storage = createStorageClient(join(rack.stateDirectory, "run/storaged.sock"));
  try {
    const disks = await rack.ingotJson<{ name: string; id: string; sizeBytes: number; node?: string }[]>(
      "disk",
      "list",
    );
    const disk = disks.find((one) => one.node === node.name);
    if (!disk) throw new Error(`node ${node.name} has no disk`);
    const targets = await storage.targets.list(rack.control, AbortSignal.timeout(5000));
    const sessions = targets.find((one) => one.iqn.endsWith(`:${disk.id}`))?.sessions ?? [];
    const sum = (field: "readBytes" | "writtenBytes") => sessions.reduce((total, one) => total + (one[field] ?? 0), 0);
    return { readBytes: sum("readBytes"), writtenBytes: sum("writtenBytes"), diskBytes: disk.sizeBytes };
  } finally {
    storage.close();
  }
}
