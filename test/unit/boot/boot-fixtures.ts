import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { FindNode, NodeRecord } from "../../../src/nodes/node.ts";
import type { Change, Collection, Records } from "../../../src/store/records.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import type { Mac } from "../../../src/values/mac.ts";

export const mac = "52:54:00:12:34:56" as Mac;

/** A boot entry of a node on network rack1, with what the test wants otherwise. */
export function bootEntry(changes: Partial<BootEntry> = {}): BootEntry {
  return {
    node: "node-1",
    nodeName: "node1",
    project: "default",
    mac,
    network: "rack1",
    address: "10.20.0.7" as Ipv4,
    disk: "disk-1",
    mode: "diskless",
    once: false,
    loader: "auto",
    iqn: "iqn.2026-11.org.ingot:app-1:disk-1",
    lun: 1,
    portals: [{ address: "10.20.0.1" as Ipv4, port: 3260 }],
    initiator: "iqn.2026-11.org.ingot:node-1",
    chap: { user: "a-user", secret: "s3cretsecret1" },
    phonesHome: true,
    createdAt: 0,
    ...changes,
  };
}

/** Records in memory, whose disk can refuse. */
export class MemoryRecords implements Records {
  readonly #maps = new Map<string, Map<string, object>>();
  failing = false;
  commits = 0;

  collection<T extends object>(name: string): Collection<T> {
    const map = this.#maps.get(name) ?? new Map<string, object>();
    this.#maps.set(name, map);
    return map as unknown as Collection<T>;
  }

  async commit(changes: Change[]): Promise<void> {
    if (this.failing) throw new ApplianceError("UNAVAILABLE", "the disk refuses");
    this.commits += 1;
    for (const { collection, key, value } of changes) {
      const map = this.collection(collection) as unknown as Map<string, object>;
      if (value === null) map.delete(key);
      else map.set(key, Object.freeze(value));
    }
  }
}

/** The node of these records that has a NIC, as the registry finds it. */
export function nodeFinder(records: Records): FindNode {
  return (mac) =>
    [...records.collection<NodeRecord>("nodes").values()].find((node) => node.nics.some((nic) => nic.mac === mac));
}
