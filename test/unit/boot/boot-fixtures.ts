import type { BootEntry } from "../../../src/boot/boot-entry.ts";
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
