import { ApplianceError } from "../errors.ts";
import { bootNic, type NodeRecord } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf, dataDisksOf, networkOf } from "./attachment.ts";

/**
 * Gives a free node to another project. NOT_FOUND; IN_USE while it has disks; FORBIDDEN where it boots from a network of another project;
 * CONFLICT for one whose drives may hold what an OS of another project wrote, unless `unwiped`: the caller answers for
 * that; BUSY.
 */
export async function moveNode(
  appliance: Appliance,
  { node: nameOrId, project, unwiped }: { node: string; project: string; unwiped: boolean },
): Promise<NodeRecord> {
  const node = appliance.nodes.get(nameOrId);
  appliance.runner.refuseHeld(node.id);
  appliance.projects.get(project);
  if (bootEntryOf(appliance.records, node.id) || dataDisksOf(appliance.records, node.id).length > 0) {
    throw new ApplianceError("IN_USE", `node ${node.name} has disks of project ${node.project}`, {
      details: { field: "node", value: node.name, remedy: `ingot deprovision ${node.name} first` },
    });
  }
  const network = networkOf(appliance, bootNic(node).network);
  if (network.project !== undefined && network.project !== project) {
    throw new ApplianceError(
      "FORBIDDEN",
      `node ${node.name} boots from network ${network.name}, which is ${network.project}'s`,
      {
        details: { field: "project", value: project, remedy: "have it cabled to another network, and registered anew" },
      },
    );
  }
  const isAllowed = unwiped && isDirtyFor(appliance, node, project);
  if (!isAllowed) refuseDirty(appliance, node, project);
  const moved = await appliance.nodes.change(node.id, ({ dirty, ...found }) => ({
    ...found,
    project,
    ...(dirty && { dirty: isAllowed ? { ...dirty, allowedTo: project } : dirty }),
  }));
  // how it booted so far is its former project's business
  for (const { mac } of node.nics) appliance.boots.forget(mac);
  return moved;
}

/**
 * Whether a node's drives may hold what a project other than this one wrote, and no operator has answered for that; an earlier one
 * of the same name is another one.
 */
export function isDirtyFor({ projects }: Pick<Appliance, "projects">, { dirty }: NodeRecord, project: string): boolean {
  if (dirty === undefined || dirty.allowedTo === project) return false;
  return dirty.project !== project || projects.isFormer(project, dirty.since);
}

/** CONFLICT for a node that is dirty for this project. */
export function refuseDirty(appliance: Pick<Appliance, "projects">, node: NodeRecord, project: string): void {
  if (!isDirtyFor(appliance, node, project)) return;
  const { name } = node;
  throw new ApplianceError("CONFLICT", `node ${name}: its own drives may hold what another project wrote`, {
    details: {
      field: "node",
      value: name,
      remedy: `wipe them, then ingot node wiped ${name}; or answer for it: ingot node move ${name} ${project} --unwiped (operators)`,
    },
  });
}

/** An operator says that the drives of a free node are wiped. CONFLICT while an OS may write to them; NOT_FOUND; BUSY. */
export async function noteWiped(appliance: Appliance, nameOrId: string): Promise<NodeRecord> {
  const node = appliance.nodes.get(nameOrId);
  appliance.runner.refuseHeld(node.id);
  if (bootEntryOf(appliance.records, node.id)) {
    throw new ApplianceError("CONFLICT", `node ${node.name} is provisioned: its OS may write to its drives`, {
      details: { field: "node", value: node.name, remedy: `ingot deprovision ${node.name}, wipe them, then say so` },
    });
  }
  return appliance.nodes.change(node.id, ({ dirty: _, ...clean }) => clean);
}
