import type { BootEntry, Portal } from "../boot/boot-entry.ts";
import type { DiskRecord } from "../disks/disk.ts";
import { ApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import { bootNic, type NodeRecord } from "../nodes/node.ts";
import type { Change } from "../store/records.ts";
import { newId } from "../values/id.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import { initiatorIqn, targetIqn } from "../values/iqn.ts";
import type { Mac } from "../values/mac.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf, chapOf, networkOf, newChap, portalsOf, SECRETS, targetSpec } from "./attachment.ts";
import { awaitStage } from "./await-boot.ts";
import type { OperationRecord, Procedure, Step } from "./operation.ts";
import { ensureOff, powerOn, powerSeconds } from "./power-steps.ts";

export type ProvisionRequest = {
  node: string;
  /** Name of the image to clone, or of the existing disk to boot: one of them. */
  image?: string;
  disk?: string;
  /** Name of the new clone; the node's name and a serial by default. */
  diskName?: string;
  once?: boolean;
  /** Take the disk from the node that has it, which is powered off first. */
  forceOff?: boolean;
};

type ProvisionPlan = {
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
  /** Id of the node that loses the disk. */
  takenFrom?: string;
  iqn: string;
  once: boolean;
  phonesHome: boolean;
};

/**
 * Makes a node boot a disk: a new clone of an image, or an existing disk.
 * NOT_FOUND, INVALID, IN_USE (the node or the disk is taken), BUSY (another operation is at it).
 */
export async function provision(
  appliance: Appliance,
  request: ProvisionRequest,
  requestedBy: string,
): Promise<OperationRecord> {
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
  const image = request.image === undefined ? undefined : usableImage(appliance, node.project, request.image);
  const disk = image
    ? newDisk(appliance, node, image, request.diskName, requestedBy)
    : existingDisk(appliance, node, request);
  const takenFrom = image ? undefined : disk.node;
  const nic = bootNic(node);
  const network = networkOf(appliance, nic.network);
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
    ...(takenFrom ? { takenFrom } : {}),
    iqn: targetIqn(appliance.id, disk.id),
    once: request.once ?? false,
    phonesHome: golden?.phonesHome ?? false,
  };
  return appliance.runner.begin("provision", {
    summary: `provision ${node.name} ${image ? `from ${image.name}` : `with disk ${disk.name}`}`,
    project: node.project,
    requestedBy,
    plan,
    holds: [node.id, disk.id, ...(takenFrom ? [takenFrom] : [])],
    changes: [
      { collection: "disks", key: disk.id, value: { ...disk, node: node.id, clean: false } },
      { collection: SECRETS, key: disk.id, value: newChap(appliance.config.chap === "mutual") },
    ],
  });
}

function usableImage(appliance: Appliance, project: string, name: string): ImageRecord {
  const image = appliance.images.get(project, name);
  if (!image.ready) {
    throw new ApplianceError("CONFLICT", `image ${image.name} is not complete`, {
      details: { field: "image", value: name, remedy: "wait for its import: ingot operation list" },
    });
  }
  return image;
}

function newDisk(
  appliance: Appliance,
  node: NodeRecord,
  image: ImageRecord,
  name: string | undefined,
  requestedBy: string,
): DiskRecord {
  const project = node.project;
  if (name !== undefined) appliance.disks.checkNewName(project, name);
  const taken = new Set(appliance.disks.list(project).map((disk) => disk.name));
  let serial = 1;
  while (taken.has(`${node.name}-${serial}`)) serial += 1;
  return {
    id: newId("disk"),
    name: name ?? `${node.name}-${serial}`,
    project,
    image: image.id,
    sizeBytes: image.sizeBytes,
    clean: false,
    createdAt: appliance.clock.now(),
    requestedBy,
  };
}

function existingDisk(appliance: Appliance, node: NodeRecord, request: ProvisionRequest): DiskRecord {
  const disk = appliance.disks.get(node.project, request.disk as string);
  appliance.runner.refuseHeld(disk.id);
  if (disk.node !== undefined && !request.forceOff) {
    const owner = appliance.nodes.get(disk.node);
    throw new ApplianceError("IN_USE", `disk ${disk.name} is attached to node ${owner.name}`, {
      details: {
        field: "disk",
        value: disk.name,
        remedy: `ingot deprovision ${owner.name}, or --force-off to power it off and take its disk`,
      },
    });
  }
  return disk;
}

/** The steps of provisioning, in their one safe order. */
export function provisionProcedure(appliance: Appliance): Procedure<ProvisionPlan> {
  const nodeOf = (plan: ProvisionPlan) => appliance.nodes.get(plan.node);
  const bmcSeconds = (plan: ProvisionPlan) => powerSeconds(appliance, nodeOf(plan));

  const powerOff: Step<ProvisionPlan> = {
    name: "power-off",
    deadlineSeconds: bmcSeconds,
    run: ({ plan, signal }) => ensureOff(appliance, appliance.powerOf(nodeOf(plan)), signal),
  };

  const cloneDisk: Step<ProvisionPlan> = {
    name: "clone-disk",
    deadlineSeconds: 120,
    run: async ({ plan, signal }) => {
      const { sizeBytes } = await appliance.store.clone(plan.image as string, plan.disk, signal);
      return { output: { sizeBytes } };
    },
    undo: ({ plan, signal }) => appliance.store.remove("disk", plan.disk, signal),
  };

  const pinAddress: Step<ProvisionPlan> = {
    name: "pin-address",
    deadlineSeconds: 10,
    run: ({ plan }) => {
      const { address, changes } = appliance.leases.pin(plan.mac, plan.network);
      return { output: { address }, changes };
    },
    undo: ({ plan }) => ({ changes: appliance.leases.unpin(plan.mac, plan.network) }),
  };

  const exportTarget: Step<ProvisionPlan> = {
    name: "export-target",
    deadlineSeconds: 30,
    run: async ({ plan, output, signal }) => {
      const address = output("pin-address")?.address as Ipv4;
      const chap = chapOf(appliance.records, plan.disk);
      await appliance.targets.ensureTarget(
        plan.control,
        await targetSpec(appliance, { ...plan, lun: 1, address, chap }),
        signal,
      );
    },
    undo: ({ plan, signal }) => appliance.targets.removeTarget(plan.control, plan.iqn, signal),
  };

  const writeBootEntry: Step<ProvisionPlan> = {
    name: "write-boot-entry",
    deadlineSeconds: 10,
    run: ({ plan, output }) => {
      const entry: BootEntry = {
        node: plan.node,
        nodeName: plan.nodeName,
        project: plan.project,
        mac: plan.mac,
        network: plan.network,
        address: output("pin-address")?.address as Ipv4,
        disk: plan.disk,
        mode: "diskless",
        once: plan.once,
        loader: nodeOf(plan).loader,
        iqn: plan.iqn,
        lun: 1,
        portals: plan.portals,
        initiator: initiatorIqn(plan.node),
        chap: chapOf(appliance.records, plan.disk),
        phonesHome: plan.phonesHome,
        createdAt: appliance.clock.now(),
      };
      return { changes: [{ collection: "bootEntries", key: plan.node, value: entry }] };
    },
    undo: ({ plan }) => ({ changes: [{ collection: "bootEntries", key: plan.node, value: null }] }),
  };

  const bootDevice: Step<ProvisionPlan> = {
    name: "boot-device",
    deadlineSeconds: bmcSeconds,
    run: ({ plan, signal }) => {
      const node = nodeOf(plan);
      return appliance.powerOf(node).setBootDevice("network", node.firmware, signal);
    },
  };

  const switchOn: Step<ProvisionPlan> = {
    name: "power-on",
    deadlineSeconds: bmcSeconds,
    run: async ({ plan, signal }) => ({ output: { at: await powerOn(appliance, nodeOf(plan), signal) } }),
    undo: ({ plan, signal }) => ensureOff(appliance, appliance.powerOf(nodeOf(plan)), signal),
  };

  return {
    kind: "provision",
    steps: (plan) => [
      ...(plan.takenFrom ? takeDisk(appliance) : []),
      powerOff,
      ...(plan.image ? [cloneDisk] : []),
      pinAddress,
      exportTarget,
      writeBootEntry,
      bootDevice,
      switchOn,
      awaitStage(appliance, "await-login", "iscsi-login-os", "loginSeconds"),
      ...(plan.phonesHome ? [awaitStage<ProvisionPlan>(appliance, "await-ready", "ready", "readySeconds")] : []),
    ],
    undone: (plan) => [...giveBack(appliance, plan)],
  };
}

/** Fences the node that has the disk, then takes it: from here the other node has none, whatever comes. */
function takeDisk(appliance: Appliance): Step<ProvisionPlan>[] {
  const other = (plan: ProvisionPlan) => appliance.nodes.get(plan.takenFrom as string);
  return [
    {
      name: "fence-other",
      deadlineSeconds: (plan) => powerSeconds(appliance, other(plan)),
      run: ({ plan, signal }) => ensureOff(appliance, appliance.powerOf(other(plan)), signal),
    },
    {
      name: "release-other",
      deadlineSeconds: 30,
      run: async ({ plan, signal }) => {
        const nic = bootNic(other(plan));
        await appliance.targets.removeTarget(networkOf(appliance, nic.network).tgtd.control, plan.iqn, signal);
        return {
          changes: [
            { collection: "bootEntries", key: plan.takenFrom as string, value: null },
            ...appliance.leases.unpin(nic.mac, nic.network),
          ],
        };
      },
    },
  ];
}

/** The records as they were before: no new disk, or a disk that belongs to nobody (or to its former node, if that one still boots it). */
function giveBack(appliance: Appliance, plan: ProvisionPlan): Change[] {
  const secret: Change = { collection: SECRETS, key: plan.disk, value: null };
  if (plan.image) return [{ collection: "disks", key: plan.disk, value: null }, secret];
  const disk = appliance.disks.find(plan.disk);
  if (!disk) return [secret];
  const { node: _, ...free } = disk;
  const former = plan.takenFrom ? bootEntryOf(appliance.records, plan.takenFrom) : undefined;
  if (!former) return [{ collection: "disks", key: disk.id, value: free }, secret];
  // the other node's own credentials stand in its entry
  return [
    { collection: "disks", key: disk.id, value: { ...free, node: plan.takenFrom } },
    { collection: SECRETS, key: disk.id, value: former.chap },
  ];
}
