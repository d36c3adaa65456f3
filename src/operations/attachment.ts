import { randomInt } from "node:crypto";
import type { BootEntry, Chap, Portal } from "../boot/boot-entry.ts";
import type { NetworkConfig } from "../config/schema.ts";
import type { DataLun, DiskRecord } from "../disks/disk.ts";
import type { TargetSpec } from "../drivers/targets/target-server.ts";
import { ApplianceError } from "../errors.ts";
import type { NodeRecord } from "../nodes/node.ts";
import type { Collection, Records } from "../store/records.ts";
import { newId } from "../values/id.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import type { Iqn } from "../values/iqn.ts";
import type { Appliance } from "./appliance.ts";

/**
 * CHAP credentials wait here, keyed by disk id, from the moment an attachment is decided until it is gone;
 * operations and their journal lines name only the disk.
 */
export const SECRETS = "secrets";

/** Fresh credentials of one attachment. RFC 7143 9.2.1 wants 96 bits; tgt and firmware take 12 to 16 characters. */
export function newChap(mutual: boolean): Chap {
  const chap = { user: newId("chap"), secret: randomSecret() };
  return mutual ? { ...chap, reverse: { user: newId("chap"), secret: randomSecret() } } : chap;
}

function randomSecret(): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  return Array.from({ length: 16 }, () => letters[randomInt(letters.length)]).join("");
}

/** The credentials of a disk's attachment; INTERNAL when there are none. */
export function chapOf(records: Records, disk: string): Chap {
  const chap = (records.collection(SECRETS) as Collection<Chap>).get(disk);
  if (!chap) throw new ApplianceError("INTERNAL", `disk ${disk} has no CHAP credentials`);
  return chap;
}

/** The configured network; CONFLICT when it was taken out of the configuration while things still refer to it. */
export function networkOf(appliance: Pick<Appliance, "config">, name: string): NetworkConfig {
  const network = appliance.config.networks.find((one) => one.name === name);
  if (!network) {
    throw new ApplianceError("CONFLICT", `network ${name} is in use but not configured`, {
      details: { field: "networks", value: name, remedy: "add it to the configuration again and restart ingotd" },
    });
  }
  return network;
}

/** The LUN of the disk that a node boots (tgt's LUN 0 is its controller). */
export const ROOT_LUN = 1;
/** Larger numbers are coded otherwise (SAM-5 4.7), which not every firmware reads. */
const LAST_LUN = 255;

/** The disks that a node has beside the one that it boots, by LUN. */
export function dataDisksOf(records: Records, node: string): DataDisk[] {
  return dataDisksByNode(records).get(node) ?? [];
}

/** The same of all nodes that have any, in one pass. */
export function dataDisksByNode(records: Records): Map<string, DataDisk[]> {
  const byNode = new Map<string, DataDisk[]>();
  for (const disk of (records.collection("disks") as Collection<DiskRecord>).values()) {
    if (!isDataDisk(disk)) continue;
    const others = byNode.get(disk.node);
    if (others) others.push(disk);
    else byNode.set(disk.node, [disk]);
  }
  for (const disks of byNode.values()) disks.sort((one, other) => one.dataLun.lun - other.dataLun.lun);
  return byNode;
}

function isDataDisk(disk: DiskRecord): disk is DataDisk & { node: string } {
  return disk.node !== undefined && disk.dataLun !== undefined;
}

/** A disk that is attached as a further LUN. */
export type DataDisk = DiskRecord & { dataLun: DataLun };

/**
 * Where a node finds a further disk, beside these: at `wanted`, or at the lowest free LUN. INVALID for a LUN that no data
 * disk can have, IN_USE for one that is taken, CONFLICT when all are.
 */
export function freeLun(taken: readonly { dataLun: DataLun }[], wanted?: number): number {
  const isTaken = (lun: number) => taken.some(({ dataLun }) => dataLun.lun === lun);
  if (wanted === undefined) {
    for (let lun = ROOT_LUN + 1; lun <= LAST_LUN; lun++) if (!isTaken(lun)) return lun;
    throw new ApplianceError("CONFLICT", `the node has all ${LAST_LUN} disks that a target can have`, {
      details: { field: "lun", remedy: "detach one of them first" },
    });
  }
  if (!Number.isInteger(wanted) || wanted <= ROOT_LUN || wanted > LAST_LUN) {
    throw new ApplianceError("INVALID", `lun: ${wanted} is none for a data disk`, {
      details: { field: "lun", value: wanted, remedy: `choose one from ${ROOT_LUN + 1} to ${LAST_LUN}` },
    });
  }
  if (isTaken(wanted)) {
    throw new ApplianceError("IN_USE", `the node has another disk at LUN ${wanted}`, {
      details: { field: "lun", value: wanted, remedy: "choose another one, or none" },
    });
  }
  return wanted;
}

/** The disk, attached to nobody. */
export function detached({ node: _, dataLun: __, ...disk }: DiskRecord): DiskRecord {
  return disk;
}

/** How a node that has this disk is made to give it up. */
export function detachRemedy(disk: DiskRecord, owner: NodeRecord): string {
  return disk.dataLun ? `ingot disk detach ${disk.name}` : `ingot deprovision ${owner.name}`;
}

/**
 * What the target server must serve for a node: the disk that it boots, and its data disks as the records have them; to
 * its pinned address, or to its name where there is none.
 */
export async function targetSpec(
  { store, records }: Pick<Appliance, "store" | "records">,
  attachment: { node: string; iqn: string; disk: string; address?: Ipv4; initiator: Iqn; chap: Chap },
  dataDisks = dataDisksOf(records, attachment.node),
): Promise<TargetSpec> {
  const { iqn, disk, address, initiator, chap } = attachment;
  const unit = async (id: string, { lun, readOnly }: DataLun) => ({
    ...{ lun, disk: id, readOnly },
    backing: await store.backing(id),
  });
  const units = await Promise.all([
    unit(disk, { lun: ROOT_LUN, readOnly: false }),
    ...dataDisks.map(({ id, dataLun }) => unit(id, dataLun)),
  ]);
  return { iqn, units, openTo: address ?? initiator, chap };
}

/** The boot entry of a node, if it has one. */
export function bootEntryOf(records: Records, node: string): BootEntry | undefined {
  return (records.collection("bootEntries") as Collection<BootEntry>).get(node);
}

/** Portals of a network as boot entries carry them. */
export function portalsOf(network: NetworkConfig): Portal[] {
  return network.portals.map(({ address, port }) => ({ address, port }));
}
