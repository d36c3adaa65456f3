import type { Portal } from "../boot/boot-entry.ts";
import type { DiskRecord } from "../disks/disk.ts";
import { checkDiskSize } from "../disks/disk-size.ts";
import { ApplianceError } from "../errors.ts";
import { childDepth } from "../images/chain-depth.ts";
import type { ImageRecord } from "../images/image.ts";
import type { MembershipRecord } from "../networks/network.ts";
import { allocationOf } from "../nodes/allocation.ts";
import { bootNic, type NodeRecord } from "../nodes/node.ts";
import { newId } from "../values/id.ts";
import { targetIqn } from "../values/iqn.ts";
import type { Mac } from "../values/mac.ts";
import type { Appliance } from "./appliance.ts";
import {
  bootEntryOf,
  type DataDisk,
  dataDisksOf,
  detachRemedy,
  freeLun,
  networkOf,
  newChap,
  portalsOf,
  SECRETS,
} from "./attachment.ts";
import { cloneableImage } from "./cloneable-image.ts";
import { type Isolation, isolationOf } from "./isolation-steps.ts";
import { refuseDirty } from "./move-node.ts";
import { type Joining, newMembership } from "./network-membership.ts";
import type { OperationRecord } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import type { Vouched } from "./power-steps.ts";
import { checkQuota } from "./quota.ts";
import type { OperationRequest } from "./runner.ts";

export type ProvisionRequest = {
  node: string;
  /** Name of the image to clone, or of the existing disk to boot: one of them. */
  image?: string;
  disk?: string;
  /** Names of disks that the node shall have beside it, from LUN 2 on. */
  data?: string[];
  /** Name of the new clone; the node's name and a serial by default. */
  diskName?: string;
  /** Size of the new clone; the image's by default. */
  sizeBytes?: number;
  once?: boolean;
  /** Networks that NICs of it are in from its first boot on. */
  attach?: Joining[];
  /** Take the disk from the node that has it, which is powered off first. */
  forceOff?: boolean;
  /** With forceOff: the caller has seen that node off; its BMC, which may be dead, is not asked. */
  seenOff?: boolean;
};

/** Everything that provisioning decides before its first side effect. */
export type ProvisionPlan = Vouched & {
  node: string;
  nodeName: string;
  project: string;
  mac: Mac;
  network: string;
  control: number;
  portals: Portal[];
  disk: string;
  /** Id of the image to clone; absent when an existing disk is booted. */
  image?: string;
  /** Of the clone, where it is to be longer than the image. */
  sizeBytes?: number;
  /** Id of the node that loses the disk. */
  takenFrom?: string;
  /** Whether that node is in networks that it must leave. */
  otherIsolated?: boolean;
  /** How the node is told of to the isolator; absent where nobody is isolated. */
  isolation?: Isolation;
  memberships?: MembershipRecord[];
  iqn: string;
  once: boolean;
  phonesHome: boolean;
};

/**
 * Makes a node boot a disk: a new clone of an image, or an existing disk.
 * NOT_FOUND, INVALID, FORBIDDEN (its network is another project's), CONFLICT (it is dirty for its project), IN_USE (the node or the disk
 * is taken), BUSY (another operation is at it), POOL_FULL (the pool takes no new clones).
 */
export async function provision(
  appliance: Appliance,
  request: ProvisionRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  if (request.image !== undefined) await checkPoolOpen(appliance);
  return appliance.runner.begin("provision", () => newProvision(appliance, request, requestedBy));
}

function newProvision(
  appliance: Appliance,
  request: ProvisionRequest,
  requestedBy: string,
): OperationRequest<ProvisionPlan> {
  const node = appliance.nodes.get(request.node);
  if ((request.image === undefined) === (request.disk === undefined)) {
    throw new ApplianceError("INVALID", "image, disk: say what to boot: an image to clone, or an existing disk", {
      details: { field: "image", remedy: "give exactly one of them" },
    });
  }
  appliance.runner.refuseHeld(node.id);
  const entry = bootEntryOf(appliance.records, node.id);
  if (entry) {
    const disk = appliance.disks.find(entry.disk);
    throw new ApplianceError("IN_USE", `node ${node.name} boots disk ${disk?.name ?? entry.disk} already`, {
      details: { field: "node", value: node.name, remedy: `ingot deprovision ${node.name} first` },
    });
  }
  refuseDirty(appliance, node, node.project);
  const image = request.image === undefined ? undefined : cloneableImage(appliance, node.project, request.image);
  const disk = image ? newDisk(appliance, node, image, request, requestedBy) : existingDisk(appliance, node, request);
  const takenFrom = image ? undefined : disk.node;
  checkQuota(appliance, node.project, { nodes: takenFrom === undefined ? 1 : 0 });
  const moved = takenFrom === undefined ? [] : dataDisksOf(appliance.records, takenFrom);
  const data = newDataDisks(appliance, node, request.data ?? [], disk, moved);
  const nic = bootNic(node);
  const network = networkOf(appliance, nic.network);
  const isolation = isolationOf(appliance, node);
  const memberships = newMemberships(appliance, node, isolation, request.attach ?? []);
  const golden = image ?? appliance.images.find(disk.image);
  const plan: ProvisionPlan = {
    node: node.id,
    nodeName: node.name,
    project: node.project,
    mac: nic.mac,
    network: network.name,
    control: network.tgtd.control,
    portals: portalsOf(network),
    disk: disk.id,
    ...(image ? { image: image.id } : {}),
    ...(image && request.sizeBytes !== undefined ? { sizeBytes: request.sizeBytes } : {}),
    ...(takenFrom ? { takenFrom } : {}),
    ...(takenFrom && allocationOf(appliance.records, takenFrom) ? { otherIsolated: true } : {}),
    ...(isolation ? { isolation } : {}),
    ...(memberships.length > 0 ? { memberships } : {}),
    ...(takenFrom && request.seenOff ? { seenOff: [takenFrom] } : {}),
    iqn: targetIqn(appliance.id, disk.id),
    once: request.once ?? false,
    phonesHome: golden?.phonesHome ?? false,
  };
  return {
    summary: `provision ${node.name} ${image ? `from ${image.name}` : `with disk ${disk.name}`}`,
    project: node.project,
    requestedBy,
    plan,
    holds: [node.id, disk.id, ...(takenFrom ? [takenFrom] : []), ...[...moved, ...data].map(({ id }) => id)],
    uses: [...(image ? [image.id] : []), ...memberships.map(({ network }) => network)],
    changes: [
      ...[disk, ...data].map((one) => ({
        collection: "disks",
        key: one.id,
        value: { ...withoutDetachment(one), node: node.id },
      })),
      { collection: SECRETS, key: disk.id, value: newChap(appliance.config.chap === "mutual") },
    ],
  };
}

/** UNSUPPORTED where there is no isolator to put NICs into networks. */
function newMemberships(
  appliance: Appliance,
  node: NodeRecord,
  isolation: Isolation | undefined,
  joinings: Joining[],
): MembershipRecord[] {
  if (joinings.length > 0 && !isolation) {
    throw new ApplianceError("UNSUPPORTED", "attach: this appliance has no network isolator", {
      details: {
        field: "attach",
        driver: "none",
        remedy: "configure one under isolation, or set up the switch by hand",
      },
    });
  }
  const memberships: MembershipRecord[] = [];
  for (const joining of joinings) {
    memberships.push(newMembership(appliance, node, isolation as Isolation, joining, memberships));
  }
  return memberships;
}

function newDisk(
  appliance: Appliance,
  node: NodeRecord,
  image: ImageRecord,
  { diskName: name, sizeBytes = image.sizeBytes }: ProvisionRequest,
  requestedBy: string,
): DiskRecord {
  const project = node.project;
  if (name !== undefined) appliance.disks.checkNewName(project, name);
  checkDiskSize(sizeBytes, image);
  checkQuota(appliance, project, { disks: 1, bytes: sizeBytes });
  return {
    id: newId("disk"),
    name: name ?? appliance.disks.freeName(project, node.name),
    project,
    image: image.id,
    sizeBytes,
    clean: false,
    depth: childDepth(image),
    createdAt: appliance.clock.now(),
    requestedBy,
  };
}

/** The disks of these names, with the LUNs that they get beside those that move to the node with the disk it boots. */
function newDataDisks(
  appliance: Appliance,
  node: NodeRecord,
  names: string[],
  root: DiskRecord,
  moved: DataDisk[],
): DataDisk[] {
  const chosen: DataDisk[] = [];
  for (const name of names) {
    const disk = appliance.disks.get(node.project, name);
    appliance.runner.refuseHeld(disk.id);
    if ([root, ...chosen].some(({ id }) => id === disk.id)) {
      throw new ApplianceError("INVALID", `data: disk ${disk.name} is named twice`, {
        details: { field: "data", value: disk.name, remedy: "name each disk once, and not the one that it boots" },
      });
    }
    if (disk.node !== undefined) {
      const owner = appliance.nodes.get(disk.node);
      throw new ApplianceError("IN_USE", `disk ${disk.name} is attached to node ${owner.name}`, {
        details: { field: "data", value: disk.name, remedy: detachRemedy(disk, owner) },
      });
    }
    chosen.push({ ...disk, dataLun: { lun: freeLun([...moved, ...chosen]), readOnly: false } });
  }
  return chosen;
}

function existingDisk(appliance: Appliance, node: NodeRecord, request: ProvisionRequest): DiskRecord {
  if (request.sizeBytes !== undefined) {
    throw new ApplianceError("INVALID", "size: a disk that there is keeps its size", {
      details: { field: "sizeBytes", value: request.sizeBytes, remedy: "give a size with an image to clone" },
    });
  }
  const disk = appliance.disks.get(node.project, request.disk as string);
  appliance.runner.refuseHeld(disk.id);
  if (disk.node !== undefined && (disk.dataLun || !request.forceOff)) {
    const owner = appliance.nodes.get(disk.node);
    const force = disk.dataLun ? "" : ", or --force-off to power it off and take its disk";
    throw new ApplianceError("IN_USE", `disk ${disk.name} is attached to node ${owner.name}`, {
      details: { field: "disk", value: disk.name, remedy: `${detachRemedy(disk, owner)}${force}` },
    });
  }
  return disk;
}

function withoutDetachment({ detachedAt: _, ...disk }: DiskRecord): DiskRecord {
  return disk;
}
