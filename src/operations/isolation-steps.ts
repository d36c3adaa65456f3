import type { NetworkIsolator } from "../drivers/isolation/network-isolator.ts";
import { ApplianceError } from "../errors.ts";
import { ALLOCATIONS, type AllocationRecord, allocationOf } from "../nodes/allocation.ts";
import { bootNic, isolatedName, type NodeRecord } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import { networkOf } from "./attachment.ts";
import type { Step, StepContext } from "./operation.ts";

/** How the isolator is told of a node that is provisioned: decided before the first side effect. */
export type Isolation = Pick<AllocationRecord, "project" | "isolated" | "boot"> & {
  /** Of the provisioning network, where the isolator shall make it: its VLAN, and the one project that may use it. */
  vlan?: number;
  only?: string;
};

type Isolating = { node: string; isolation?: Isolation };

/** A node's networks are changed one after another, and an isolator may do those of a whole rack one by one. */
const CHANGES = 5;

/** How long all networks of one node may take to change. */
export function networkSeconds({ config }: Appliance): number {
  return CHANGES * config.isolation.changeSeconds;
}

/** What the isolator calls a project. */
export function isolatedProject({ config }: Pick<Appliance, "config">, project: string): string {
  return config.isolation.projects[project] ?? project;
}

/**
 * How a node is isolated while it is provisioned; undefined for an appliance that isolates nothing. INVALID for a node of
 * which nobody has said where it is cabled to, FORBIDDEN on a network that is another project's.
 */
export function isolationOf(appliance: Appliance, node: NodeRecord): Isolation | undefined {
  const nic = bootNic(node);
  const network = networkOf(appliance, nic.network);
  if (network.project !== undefined && network.project !== node.project) {
    throw new ApplianceError("FORBIDDEN", `network ${network.name} is for nodes of another project`, {
      details: {
        field: "network",
        value: network.name,
        remedy: `have node ${node.name} cabled to a network that ${node.project} may use, and registered anew`,
      },
    });
  }
  const { driver } = appliance.config.isolation;
  if (driver === "none") return undefined;
  if (nic.port === undefined) {
    throw new ApplianceError("INVALID", `node ${node.name}: it is not known where NIC ${nic.mac} is cabled to`, {
      details: {
        field: "node",
        value: node.name,
        remedy: `ingot node cable ${node.name} --port ${nic.mac}=${driver === "hil" ? "NIC-IN-HIL" : "PORT-OF-SWITCH"}`,
      },
    });
  }
  return {
    project: node.project,
    isolated: { node: isolatedName(node), project: isolatedProject(appliance, node.project) },
    boot: { nic: nic.port, network: network.isolatedAs ?? network.name },
    ...(network.vlan === undefined ? {} : { vlan: network.vlan }),
    ...(network.project === undefined ? {} : { only: isolatedProject(appliance, network.project) }),
  };
}

/** Gives a node to its project at the isolator. Undone, the node is free, unless the project had it before. */
export function allocateNode<Plan extends Isolating>(appliance: Appliance): Step<Plan>[] {
  const record = (plan: Plan, value: AllocationRecord | null) => ({
    changes: [{ collection: ALLOCATIONS, key: plan.node, value }],
  });
  return [
    {
      // in a step of its own: after a crash in the middle of the next one, it would tell of the operation itself
      name: "look-at-owner",
      deadlineSeconds: networkSeconds(appliance),
      run: async ({ plan, signal }) => {
        const { isolated } = plan.isolation as Isolation;
        const { project } = await appliance.isolator().node(isolated.node, signal);
        return { output: { hadIt: project === isolated.project } };
      },
    },
    {
      name: "allocate",
      deadlineSeconds: networkSeconds(appliance),
      run: async ({ plan, signal }) => {
        const { project, isolated, boot } = plan.isolation as Isolation;
        await appliance.isolator().allocate(isolated.node, isolated.project, signal);
        return record(plan, { project, isolated, boot, since: appliance.clock.now() });
      },
      undo: async ({ plan, output, signal }) => {
        const { isolated } = plan.isolation as Isolation;
        if (output("look-at-owner")?.hadIt !== true)
          await appliance.isolator().free(isolated.node, isolated.project, signal);
        return record(plan, null);
      },
    },
  ];
}

/** Puts the NIC that a node boots from into its provisioning network. */
export function joinProvisioningNetwork<Plan extends Isolating>(appliance: Appliance): Step<Plan> {
  const attachment = ({ isolation }: Plan) => {
    const { isolated, boot } = isolation as Isolation;
    return { node: isolated.node, nic: boot.nic, network: boot.network, channel: "native" as const };
  };
  return {
    name: "isolate",
    deadlineSeconds: networkSeconds(appliance),
    run: async ({ plan, signal }) => {
      const isolator = appliance.isolator();
      const { vlan, only, boot } = plan.isolation as Isolation;
      if (vlan !== undefined) {
        const owner = only === undefined ? {} : { project: only };
        await isolator.ensureNetwork({ name: boot.network, vlan, ...owner }, signal);
      }
      await isolator.ensureAttached(attachment(plan), signal);
    },
    undo: ({ plan, signal }) => appliance.isolator().ensureDetached(attachment(plan), signal),
  };
}

/**
 * Takes a node out of every network that the isolator has it in, once it is seen off: from here it reaches nobody. There is no
 * way back: a node that is half out of its networks can't run.
 */
export function leaveNetworks<Plan>(appliance: Appliance, name: string, nodeOf: (plan: Plan) => string): Step<Plan> {
  return {
    name,
    deadlineSeconds: networkSeconds(appliance),
    pointOfNoReturn: true,
    run: async (context) => {
      const allocation = allocationOf(appliance.records, nodeOf(context.plan));
      if (allocation) await detachAll(appliance.isolator(), allocation, context);
    },
  };
}

/** Those of several NICs at once; of each NIC one after another. */
async function detachAll(
  isolator: NetworkIsolator,
  { isolated: { node } }: AllocationRecord,
  { signal, progress }: Pick<StepContext<unknown>, "signal" | "progress">,
): Promise<void> {
  const { nics } = await isolator.node(node, signal);
  const total = nics.reduce((sum, { networks }) => sum + networks.length, 0);
  let done = 0;
  await Promise.all(
    nics.map(async ({ name: nic, networks }) => {
      for (const one of networks) {
        await isolator.ensureDetached({ node, nic, ...one }, signal);
        progress(++done, total, "things");
      }
    }),
  );
}

/** Gives a node back to the isolator, last of all: whoever gets it then finds nothing of this one's. */
export function freeNode<Plan>(appliance: Appliance, name: string, nodeOf: (plan: Plan) => string): Step<Plan> {
  return {
    name,
    deadlineSeconds: networkSeconds(appliance),
    run: async ({ plan, signal }) => {
      const allocation = allocationOf(appliance.records, nodeOf(plan));
      if (!allocation) return;
      const { node, project } = allocation.isolated;
      await appliance.isolator().free(node, project, signal);
      return { changes: [{ collection: ALLOCATIONS, key: nodeOf(plan), value: null }] };
    },
  };
}
