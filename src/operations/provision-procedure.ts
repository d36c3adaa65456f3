import type { BootEntry } from "../boot/boot-entry.ts";
import type { Change } from "../store/records.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import { initiatorIqn } from "../values/iqn.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf, chapOf, dataDisksOf, detached, networkOf, ROOT_LUN, SECRETS, targetSpec } from "./attachment.ts";
import { awaitStage } from "./await-boot.ts";
import { refuseServedByFormer, releaseFormerTargets } from "./former-targets.ts";
import { allocateNode, joinProvisioningNetwork } from "./isolation-steps.ts";
import { join } from "./network-membership.ts";
import type { Procedure, Step, StepContext } from "./operation.ts";
import { ensureOff, powerOn, powerSeconds } from "./power-steps.ts";
import type { ProvisionPlan } from "./provision.ts";
import { takeDisk } from "./take-disk.ts";

/** The steps of provisioning, in their one safe order. */
export function provisionProcedure(appliance: Appliance): Procedure<ProvisionPlan> {
  const nodeOf = (plan: ProvisionPlan) => appliance.nodes.get(plan.node);
  const bmcSeconds = (plan: ProvisionPlan) => powerSeconds(appliance, nodeOf(plan));

  /** The address that the node keeps while it is provisioned. With `auto`, it may get another server's at any time. */
  const ownAddress = ({ network }: ProvisionPlan, output: StepContext<ProvisionPlan>["output"]) => {
    const address = output("pin-address")?.address as Ipv4 | undefined;
    return address && networkOf(appliance, network).dhcp === "server" ? { address } : {};
  };

  const powerOff: Step<ProvisionPlan> = {
    name: "power-off",
    deadlineSeconds: bmcSeconds,
    run: ({ plan, signal, progress }) => ensureOff(appliance, nodeOf(plan), plan, signal, progress),
  };

  const cloneDisk: Step<ProvisionPlan> = {
    name: "clone-disk",
    deadlineSeconds: 120,
    run: async ({ plan, signal }) => {
      const { sizeBytes } = await appliance.store.clone(plan.image as string, plan.disk, signal, plan.sizeBytes);
      return { output: { sizeBytes } };
    },
    undo: ({ plan, signal }) => appliance.store.remove("disk", plan.disk, signal),
  };

  const pinAddress: Step<ProvisionPlan> = {
    name: "pin-address",
    deadlineSeconds: 10,
    run: ({ plan }) => {
      // another server's addresses are not ours to promise
      const role = appliance.dhcp(plan.network)?.role;
      if (role === "proxy" || role === "off") return {};
      const { address, changes } = appliance.leases.pin(plan.mac, plan.network);
      return { output: { address }, changes };
    },
    undo: ({ plan }) => ({ changes: appliance.leases.unpin(plan.mac, plan.network) }),
  };

  const exportTarget: Step<ProvisionPlan> = {
    name: "export-target",
    // a former target's machine is given its time to fall silent
    deadlineSeconds: ({ image }) => (image ? 30 : 90),
    run: async ({ plan, output, signal }) => {
      if (!plan.image) await releaseFormerTargets(appliance, plan, signal);
      // after that: the former target of the disk may have served its data disks too
      for (const disk of dataDisksOf(appliance.records, plan.node)) await refuseServedByFormer(appliance, disk, signal);
      const address = ownAddress(plan, output);
      const chap = chapOf(appliance.records, plan.disk);
      await appliance.targets.ensureTarget(
        plan.control,
        await targetSpec(appliance, { ...plan, ...address, initiator: initiatorIqn(plan.node), chap }),
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
        ...ownAddress(plan, output),
        disk: plan.disk,
        mode: "diskless",
        once: plan.once,
        loader: nodeOf(plan).loader,
        iqn: plan.iqn,
        lun: ROOT_LUN,
        portals: plan.portals,
        initiator: initiatorIqn(plan.node),
        chap: chapOf(appliance.records, plan.disk),
        phonesHome: plan.phonesHome,
        createdAt: appliance.clock.now(),
      };
      const disk = appliance.disks.find(plan.disk);
      const written = [...(disk ? [disk] : []), ...dataDisksOf(appliance.records, plan.node)];
      return {
        changes: [
          { collection: "bootEntries", key: plan.node, value: entry },
          // and on the node's own drives
          appliance.nodes.dirtied(plan.node, plan.project, entry.createdAt),
          // from here on its OS may write
          ...written
            .filter(({ dataLun }) => !dataLun?.readOnly)
            .map((one) => ({ collection: "disks", key: one.id, value: { ...one, clean: false } })),
        ],
      };
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
    undo: ({ plan, signal, progress }) => ensureOff(appliance, nodeOf(plan), plan, signal, progress),
  };

  return {
    kind: "provision",
    steps: (plan) => [
      // its data disks follow the disk that they were mounted by
      ...(plan.takenFrom
        ? takeDisk<ProvisionPlan>(appliance, plan, ({ node }, dataDisks) =>
            dataDisks.map((disk) => ({ collection: "disks", key: disk.id, value: { ...disk, node } })),
          )
        : []),
      ...(plan.isolation ? allocateNode<ProvisionPlan>(appliance) : []),
      powerOff,
      ...(plan.image ? [cloneDisk] : []),
      pinAddress,
      exportTarget,
      ...(plan.isolation ? [joinProvisioningNetwork<ProvisionPlan>(appliance)] : []),
      ...(plan.memberships
        ? [join<ProvisionPlan>(appliance, "join-networks", ({ memberships = [] }) => memberships)]
        : []),
      writeBootEntry,
      bootDevice,
      switchOn,
      awaitStage(appliance, "await-login", "iscsi-login-os", "loginSeconds"),
      ...(plan.phonesHome ? [awaitStage<ProvisionPlan>(appliance, "await-ready", "ready", "readySeconds")] : []),
    ],
    undone: (plan) => [...giveBack(appliance, plan)],
  };
}

/** The records as they were before: no new disk, or a disk that belongs to nobody (or to its former node, if that one still boots it). */
function giveBack(appliance: Appliance, plan: ProvisionPlan): Change[] {
  const secret: Change = { collection: SECRETS, key: plan.disk, value: null };
  const data = dataDisksOf(appliance.records, plan.node).map(
    (one): Change => ({ collection: "disks", key: one.id, value: detached(one) }),
  );
  if (plan.image) return [{ collection: "disks", key: plan.disk, value: null }, secret, ...data];
  const disk = appliance.disks.find(plan.disk);
  if (!disk) return [secret, ...data];
  const former = plan.takenFrom ? bootEntryOf(appliance.records, plan.takenFrom) : undefined;
  if (!former) return [{ collection: "disks", key: disk.id, value: detached(disk) }, secret, ...data];
  // the other node's own credentials stand in its entry
  return [
    ...data,
    { collection: "disks", key: disk.id, value: { ...disk, node: plan.takenFrom } },
    { collection: SECRETS, key: disk.id, value: former.chap },
  ];
}
