import type { NetworkIsolator, TellWait } from "../drivers/isolation/network-isolator.ts";
import { ApplianceError } from "../errors.ts";
import { NETWORKS, type NetworkRecord } from "../networks/network.ts";
import { newId } from "../values/id.ts";
import { parseName } from "../values/name.ts";
import type { Appliance } from "./appliance.ts";
import { askIsolator, isolatedProject, networkSeconds } from "./isolation-steps.ts";
import type { OperationRecord, Procedure, StepContext } from "./operation.ts";
import { checkQuota } from "./quota.ts";
import { describeUsers } from "./users.ts";

/** How much of a network's id stands behind its name at the isolator. */
const SUFFIX = 6;

type NetworkPlan = { network: string; isolatedAs: string };
type CreatePlan = NetworkPlan & { owner: string; vlan?: number };
type SharePlan = NetworkPlan & { before: string[]; after: string[] };

/**
 * Makes a network of a project. EXISTS, INVALID, QUOTA; UNSUPPORTED where nothing isolates nodes. `vlan`: an operator's wish.
 */
export async function createNetwork(
  appliance: Appliance,
  { project, name, vlan }: { project: string; name: string; vlan?: number },
  requestedBy: string,
): Promise<OperationRecord> {
  requireIsolator(appliance);
  appliance.networks.checkNewName(project, name);
  checkQuota(appliance, project, { networks: 1 });
  if (appliance.config.networks.some((one) => one.vlan !== undefined && one.vlan === vlan))
    throw takenVlan(vlan as number);
  const [id, owner] = [newId("net"), isolatedProject(appliance, project)];
  const isolatedAs = `${owner}.${name}-${id.slice(-SUFFIX)}`;
  const network: NetworkRecord = {
    ...{ id, name, project, isolatedAs, ready: false },
    createdAt: appliance.clock.now(),
    requestedBy,
  };
  return appliance.runner.begin<CreatePlan>("create-network", {
    summary: `create network ${name}`,
    project,
    requestedBy,
    plan: { network: id, isolatedAs, owner, ...(vlan === undefined ? {} : { vlan }) },
    holds: [id],
    changes: [{ collection: NETWORKS, key: id, value: network }],
  });
}

/** The one step of a network's making. Its name at the isolator is nobody else's, so it may be removed again. */
export function createNetworkProcedure(appliance: Appliance): Procedure<CreatePlan> {
  return {
    kind: "create-network",
    steps: () => [
      {
        name: "make-network",
        deadlineSeconds: networkSeconds(appliance),
        run: async (context) => {
          const { network: id, isolatedAs: name, owner: project, vlan: wished } = context.plan;
          const wanted = { name, project, ...(wished === undefined ? {} : { vlan: wished }) };
          const { vlan } = await askIsolator(appliance, context, (isolator, ...rest) =>
            isolator.ensureNetwork(wanted, ...rest),
          );
          const made = { ...recordOf(appliance, id), ready: true, ...(vlan === undefined ? {} : { vlan }) };
          return { changes: [{ collection: NETWORKS, key: id, value: made }] };
        },
        undo: (context) => remove(appliance, context),
      },
    ],
    undone: ({ network }) => [{ collection: NETWORKS, key: network, value: null }],
  };
}

/** Removes a network. NOT_FOUND; IN_USE while NICs are in it; BUSY. */
export async function removeNetwork(
  appliance: Appliance,
  { project, network: name }: { project: string; network: string },
  requestedBy: string,
): Promise<OperationRecord> {
  const network = appliance.networks.get(project, name);
  appliance.runner.refuseHeld(network.id);
  const members = appliance.networks.membersOf(network.id).flatMap(({ node }) => appliance.nodes.find(node) ?? []);
  if (members.length > 0) {
    const usedBy = members.map((node) => ({
      ...{ kind: "node" as const, name: node.name },
      ...(node.project === project ? {} : { project: node.project }),
    }));
    throw new ApplianceError("IN_USE", `network ${network.name} is used by ${describeUsers(usedBy)}`, {
      details: { field: "network", value: network.name, usedBy, remedy: "ingot network detach each of them first" },
    });
  }
  const { id, isolatedAs } = network;
  return appliance.runner.begin<NetworkPlan>("remove-network", {
    summary: `remove network ${network.name}`,
    project,
    requestedBy,
    plan: { network: id, isolatedAs },
    holds: [id],
  });
}

/** The one step of a network's end; there is no way back. */
export function removeNetworkProcedure(appliance: Appliance): Procedure<NetworkPlan> {
  return {
    kind: "remove-network",
    steps: () => [
      {
        name: "remove-network",
        deadlineSeconds: networkSeconds(appliance),
        pointOfNoReturn: true,
        run: async (context) => {
          await remove(appliance, context);
          return { changes: [{ collection: NETWORKS, key: context.plan.network, value: null }] };
        },
      },
    ],
  };
}

/**
 * Lets other projects put NICs into a network (`share`), or no longer (`unshare`). NOT_FOUND; INVALID; IN_USE while one that is to
 * lose it has NICs in it; BUSY.
 * Projects that the caller does not see are taken at their word: whether there are such is none of their business.
 */
export async function shareNetwork(
  appliance: Appliance,
  verb: "share" | "unshare",
  { project, network: name, projects }: { project: string; network: string; projects: string[] },
  sees: (project: string) => boolean,
  requestedBy: string,
): Promise<OperationRecord> {
  const network = appliance.networks.get(project, name);
  appliance.runner.refuseHeld(network.id);
  for (const one of projects) if (sees(parseName(one, "projects"))) appliance.projects.get(one);
  const before = network.sharedWith ?? [];
  const wanted = verb === "share" ? [...before, ...projects] : before.filter((one) => !projects.includes(one));
  const after = [...new Set(wanted)].filter((one) => one !== project).sort();
  const lost = new Set(before.filter((one) => !after.includes(one)));
  const members = appliance.networks.membersOf(network.id).flatMap(({ node }) => appliance.nodes.find(node) ?? []);
  const users = members.filter((node) => lost.has(node.project));
  if (users.length > 0) {
    const seen = [...new Set(users.map((node) => node.project))].filter(sees);
    // that there is such a project is told to nobody who does not see it
    const whose = seen.length > 0 ? `project ${seen.join(", ")}` : "a project that is to lose it";
    throw new ApplianceError("IN_USE", `network ${network.name} has NICs of ${whose}`, {
      details: { field: "projects", value: projects, remedy: "have them detached first" },
    });
  }
  const { id, isolatedAs } = network;
  return appliance.runner.begin<SharePlan>("share-network", {
    summary: `share network ${network.name} with ${after.join(", ") || "nobody"}`,
    project,
    requestedBy,
    plan: { network: id, isolatedAs, before, after },
    holds: [id],
  });
}

/** The one step of sharing. */
export function shareNetworkProcedure(appliance: Appliance): Procedure<SharePlan> {
  const set = async (context: StepContext<SharePlan>, projects: string[]) => {
    const { network: id, isolatedAs } = context.plan;
    const { sharedWith: _, ...network } = recordOf(appliance, id);
    const names = isolatedProjects(appliance, network.project, projects);
    await askIsolator(appliance, context, (isolator, ...rest) => isolator.ensureAccess(isolatedAs, names, ...rest));
    const value = { ...network, ...(projects.length > 0 ? { sharedWith: projects } : {}) };
    return { changes: [{ collection: NETWORKS, key: id, value }] };
  };
  return {
    kind: "share-network",
    steps: () => [
      {
        name: "share-network",
        deadlineSeconds: networkSeconds(appliance),
        run: (context) => set(context, context.plan.after),
        undo: (context) => set(context, context.plan.before),
      },
    ],
  };
}

/**
 * Who may attach to a network, as the isolator calls them. Of those that it is shared with, projects that there are: an isolator may
 * refuse others, and would tell by that which there are.
 */
export function isolatedProjects(appliance: Appliance, owner: string, sharedWith: readonly string[]): string[] {
  const known = new Set(appliance.projects.list().map(({ name }) => name));
  return [owner, ...sharedWith.filter((one) => known.has(one))].map((one) => isolatedProject(appliance, one));
}

function remove(appliance: Appliance, context: StepContext<NetworkPlan>): Promise<void> {
  return askIsolator(appliance, context, (isolator: NetworkIsolator, signal: AbortSignal, tell: TellWait) =>
    isolator.removeNetwork(context.plan.isolatedAs, signal, tell),
  );
}

function recordOf(appliance: Appliance, id: string): NetworkRecord {
  const network = appliance.networks.find(id);
  if (!network) throw new ApplianceError("INTERNAL", `network ${id} has no record`);
  return network;
}

/** UNSUPPORTED, before there is a record of what can't be. */
function requireIsolator({ config }: Appliance): void {
  if (config.isolation.driver !== "none") return;
  throw new ApplianceError(
    "UNSUPPORTED",
    "this appliance has no network isolator: there are no networks but the configured ones",
    {
      details: { driver: "none", remedy: "configure one under isolation, or set up the switch by hand" },
    },
  );
}

function takenVlan(vlan: number): ApplianceError {
  return new ApplianceError("CONFLICT", `vlan: ${vlan} is a provisioning network's`, {
    details: { field: "vlan", value: vlan, remedy: "choose another one, or leave it to the isolator" },
  });
}
