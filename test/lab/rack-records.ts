import type { BootEntry } from "../../src/boot/boot-entry.ts";
import type { DiskRecord } from "../../src/disks/disk.ts";
import type { LeaseRecord } from "../../src/leases/lease.ts";
import type { NodeRecord } from "../../src/nodes/node.ts";
import type { Change } from "../../src/store/records.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { initiatorIqn, targetIqn } from "../../src/values/iqn.ts";
import type { Mac } from "../../src/values/mac.ts";

/** Of the appliance that the records belong to. */
const APPLIANCE = "app-benchbench00";

export type Rackful = { network: string; server: Ipv4; nodes: number; provisioned: number; diskBytes: number };

/** The records of a rack of nodes, the first of them provisioned: each with disk, credentials, pinned address and boot entry. */
export function rackful({ network, server, nodes, provisioned, diskBytes }: Rackful): Change[] {
  const changes: Change[] = [{ collection: "settings", key: "appliance", value: { id: APPLIANCE } }];
  for (let index = 0; index < nodes; index++) {
    const node = nodeRecord(index, network);
    changes.push({ collection: "nodes", key: node.id, value: node });
    if (index < provisioned) changes.push(...attachment(node, index, network, server, diskBytes));
  }
  return changes;
}

/** Id of the disk of the node with that number. */
export function diskId(index: number): string {
  return `disk-bench${String(index).padStart(7, "0")}`;
}

function nodeRecord(index: number, network: string): NodeRecord {
  const mac = `52:54:02:00:${hex(index >> 8)}:${hex(index & 255)}` as Mac;
  return {
    id: `node-bench${String(index).padStart(7, "0")}`,
    name: `node-${index}`,
    project: "default",
    nics: [{ mac, network, role: "boot" }],
    firmware: "uefi",
    loader: "auto",
    power: { driver: "manual" },
    createdAt: Date.now(),
    requestedBy: "bench",
  };
}

function attachment(node: NodeRecord, index: number, network: string, server: Ipv4, sizeBytes: number): Change[] {
  const { id, name, project, createdAt, requestedBy } = node;
  const mac = node.nics[0]!.mac;
  const disk = diskId(index);
  const address = `10.77.1.${index + 1}` as Ipv4;
  const chap = { user: `chap-bench${index}`, secret: "0123456789abcdef" };
  const record: DiskRecord = {
    ...{ id: disk, name: `disk-${index}`, project, image: "img-bench0000000", sizeBytes, node: id },
    ...{ clean: true, createdAt, requestedBy },
  };
  const lease: LeaseRecord = { address, network, mac, state: "pinned", expiresAt: 0 };
  const entry: BootEntry = {
    ...{
      node: id,
      nodeName: name,
      project,
      mac,
      network,
      address,
      disk,
      mode: "diskless",
      once: false,
      loader: "auto",
    },
    ...{ iqn: targetIqn(APPLIANCE, disk), lun: 1, portals: [{ address: server, port: 3260 }] },
    ...{ initiator: initiatorIqn(id), chap, phonesHome: false, createdAt },
  };
  return [
    { collection: "disks", key: disk, value: record },
    { collection: "secrets", key: disk, value: chap },
    { collection: "leases", key: address, value: lease },
    { collection: "bootEntries", key: id, value: entry },
  ];
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
