import type { RouteConfig } from "@hono/zod-openapi";
import { type Caller, holdsEverywhere, holdsIn, holdsSomewhere, seesProject } from "../../access/caller.ts";
import type { Right } from "../../access/rights.ts";
import { ApplianceError } from "../../errors.ts";
import { noSuchNode } from "../../nodes/node-registry.ts";
import type { Appliance } from "../../operations/appliance.ts";
import { isApplianceWide, type OperationRecord } from "../../operations/operation.ts";
import { noSuchOperation } from "../../operations/runner.ts";
import { noSuchProject } from "../../projects/project-registry.ts";
import { isForAll, rightOf } from "./route.ts";

/**
 * Lets a caller through to a route, or not. NOT_FOUND for what is in a project that they do not see, in the words for what
 * is nowhere; FORBIDDEN where they lack the right that the route states. A route that is for all answers by itself with
 * no more than the caller's own.
 */
export function admit(appliance: Appliance, caller: Caller, route: RouteConfig, path: string): void {
  const right = rightOf(route);
  const names = namesIn(route.path, path);
  const project = projectOf(appliance, caller, names);
  const holds =
    project !== undefined
      ? holdsIn(caller, right, project)
      : isForAll(route)
        ? holdsSomewhere(caller, right)
        : holdsEverywhere(caller, right);
  if (!holds) throw forbidden(caller, right);
}

/** FORBIDDEN unless the caller holds a right over the whole appliance: for the part of a request that needs it. */
export function demand(caller: Caller, right: Right): void {
  if (!holdsEverywhere(caller, right)) throw forbidden(caller, right);
}

/** Whether a caller may look at an operation: those of an earlier project of the same name are for who sees all. */
export function seesOperation({ projects }: Appliance, caller: Caller, operation: OperationRecord): boolean {
  if (holdsEverywhere(caller, "operation:read")) return true;
  const { project, endedAt } = operation;
  return (
    !isApplianceWide(operation) &&
    holdsIn(caller, "operation:read", project) &&
    !(endedAt !== undefined && projects.isFormer(project, endedAt))
  );
}

/** The project of what a path names, seen by the caller; undefined where it names nothing that a project owns. */
function projectOf(
  appliance: Appliance,
  caller: Caller,
  { project, node, operation }: Record<string, string>,
): string | undefined {
  const { projects, nodes, runner } = appliance;
  if (project !== undefined) {
    if (!seesProject(caller, projects.get(project).name)) throw noSuchProject(project);
    return project;
  }
  if (node !== undefined) {
    const owner = nodes.get(node).project;
    if (!seesProject(caller, owner)) throw noSuchNode(node);
    return owner;
  }
  if (operation !== undefined) {
    const record = runner.get(operation);
    if (!seesOperation(appliance, caller, record)) throw noSuchOperation(operation);
    return isApplianceWide(record) ? undefined : record.project;
  }
  return undefined;
}

/** What stands in a request's path for the names in a route's. */
function namesIn(pattern: string, path: string): Record<string, string> {
  const parts = path.split("/");
  return Object.fromEntries(
    pattern.split("/").flatMap((part, at) => {
      const name = /^\{(.+)\}$/.exec(part)?.[1];
      return name === undefined ? [] : [[name, decoded(parts[at] ?? "")]];
    }),
  );
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** FORBIDDEN, naming the right that the caller lacks. */
export function forbidden(caller: Caller, right: Right): ApplianceError {
  return new ApplianceError("FORBIDDEN", `${caller.name} may not do that: it needs ${right}`, {
    details: { remedy: "ask whoever runs the appliance for a role that holds it; ingot whoami shows yours" },
  });
}
