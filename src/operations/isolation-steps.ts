import type { NetworkIsolator, TellWait } from "../drivers/isolation/network-isolator.ts";
import { ApplianceError, isApplianceError } from "../errors.ts";
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

type Asking = Pick<StepContext<unknown>, "signal" | "progress">;

/**
 * Has the isolator do something: what it waits for, and how long it may, is shown. That it does not answer is an outage: only
 * with it does a node get out of its networks.
 */
export async function askIsolator<T>(
  appliance: Appliance,
  { signal, progress }: Asking,
  verb: (isolator: NetworkIsolator, signal: AbortSignal, tell: TellWait) => Promise<T>,
): Promise<T> {
  try {
    return await verb(appliance.isolator(), signal, ({ reason, seconds, atMostSeconds }) =>
      progress(Math.floor(seconds), atMostSeconds, "seconds", reason),
    );
  } catch (error) {
    if (!isApplianceError(error, "UNAVAILABLE")) throw error;
    const { code, message, details, retryable } = error;
    throw new ApplianceError(code, message, { details: { ...details, outage: true }, retryable, cause: error });
  }
}

/** Gives a node back. One that another project has by now is not ours to free. */
async function free(appliance: Appliance, { node, project }: AllocationRecord["isolated"], context: Asking) {
  try {
    await askIsolator(appliance, context, (isolator, ...rest) => isolator.free(node, project, ...rest));
  } catch (error) {
    if (!isApplianceError(error, "CONFLICT") || error.details.owner === undefined) throw error;
  }
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
      run: async (context) => {
        const { isolated } = context.plan.isolation as Isolation;
        const { project } = await askIsolator(appliance, context, (isolator, signal) =>
          isolator.node(isolated.node, signal),
        );
        return { output: { hadIt: project === isolated.project } };
      },
    },
    {
      name: "allocate",
      deadlineSeconds: networkSeconds(appliance),
      run: async (context) => {
        const { project, isolated, boot } = context.plan.isolation as Isolation;
        await askIsolator(appliance, context, (isolator, ...rest) =>
          isolator.allocate(isolated.node, isolated.project, ...rest),
        );
        return record(context.plan, { project, isolated, boot, since: appliance.clock.now() });
      },
      undo: async (context) => {
        const { plan, output } = context;
        if (output("look-at-owner")?.hadIt !== true)
          await free(appliance, (plan.isolation as Isolation).isolated, context);
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
    run: async (context) => {
      const { vlan, only, boot } = context.plan.isolation as Isolation;
      if (vlan !== undefined) {
        const network = { name: boot.network, vlan, ...(only === undefined ? {} : { project: only }) };
        await askIsolator(appliance, context, (isolator, ...rest) => isolator.ensureNetwork(network, ...rest));
      }
      await askIsolator(appliance, context, (isolator, ...rest) =>
        isolator.ensureAttached(attachment(context.plan), ...rest),
      );
    },
    undo: (context) =>
      askIsolator(appliance, context, (isolator, ...rest) =>
        isolator.ensureDetached(attachment(context.plan), ...rest),
      ),
  };
}

/**
 * Sees whether a node is still its project's at the isolator before anything is done to it: output `isOurs`. An isolator that does
 * not answer, or does not know the node any more, has given it to nobody else.
 */
export function lookAtOwner<Plan>(appliance: Appliance, name: string, nodeOf: (plan: Plan) => string): Step<Plan> {
  return {
    name,
    deadlineSeconds: networkSeconds(appliance),
    run: async (context) => {
      const isolated = allocationOf(appliance.records, nodeOf(context.plan))?.isolated;
      if (!isolated) return { output: { isOurs: true } };
      try {
        const { project } = await askIsolator(appliance, context, (isolator, signal) =>
          isolator.node(isolated.node, signal),
        );
        return { output: { isOurs: project === undefined || project === isolated.project } };
      } catch (error) {
        if (isApplianceError(error, "UNAVAILABLE") || isApplianceError(error, "NOT_FOUND"))
          return { output: { isOurs: true } };
        throw error;
      }
    },
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
      if (allocation) await detachAll(appliance, allocation, context);
    },
  };
}

/**
 * Those of several NICs at once; of each NIC one after another; the provisioning network also where it is not shown yet. None of a
 * node that another project has by now.
 */
async function detachAll(appliance: Appliance, { isolated, boot }: AllocationRecord, context: Asking) {
  const { node } = isolated;
  const { project, nics } = await askIsolator(appliance, context, (isolator, signal) => isolator.node(node, signal));
  if (project !== undefined && project !== isolated.project) return;
  await Promise.all(
    nics.map(async ({ name: nic, networks }) => {
      const isShown = nic !== boot.nic || networks.some(({ network }) => network === boot.network);
      const all = isShown ? networks : [...networks, { network: boot.network, channel: "native" as const }];
      for (const one of all) {
        await askIsolator(appliance, context, (isolator, ...rest) =>
          isolator.ensureDetached({ node, nic, ...one }, ...rest),
        );
      }
    }),
  );
}

/** Gives a node back to the isolator, last of all: whoever gets it then finds nothing of this one's. */
export function freeNode<Plan>(appliance: Appliance, name: string, nodeOf: (plan: Plan) => string): Step<Plan> {
  return {
    name,
    deadlineSeconds: networkSeconds(appliance),
    run: async (context) => {
      const id = nodeOf(context.plan);
      const allocation = allocationOf(appliance.records, id);
      if (!allocation) return;
      await free(appliance, allocation.isolated, context);
      return { changes: [{ collection: ALLOCATIONS, key: id, value: null }, ...appliance.networks.endMemberships(id)] };
    },
  };
}
