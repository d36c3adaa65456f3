import { createRoute, type RouteConfig } from "@hono/zod-openapi";
import type { Context } from "hono";
import { matchedRoutes } from "hono/route";
import { RIGHTS, type Right } from "../../access/rights.ts";
import { ApplianceError } from "../../errors.ts";
import type { Api, ApiEnvironment } from "./api.ts";
import { problemSchema } from "./problem.ts";

/** The attribute of a route's description that states its right; it shows in openapi.json. */
const RIGHT = "x-right";
/** The attribute of one that is for everybody who holds its right anywhere. */
const FOR_ALL = "x-for-all";

/**
 * Describes a route: what it needs, takes and answers. The right must be held in the project of what its path names, else
 * over the whole appliance; `forAll`: anywhere, and it answers with the caller's own.
 */
export function describeRoute<const Route extends RouteConfig>(
  right: Right,
  route: Route,
  { forAll = false }: { forAll?: boolean } = {},
) {
  const problem = {
    description: "What went wrong (RFC 9457)",
    content: { "application/problem+json": { schema: problemSchema } },
  };
  const responses: Route["responses"] = { ...route.responses, default: problem };
  return createRoute<Route["path"], Route>({ ...route, responses, [RIGHT]: right, [FOR_ALL]: forAll });
}

/** The route of this request as it was described; undefined when no route answers it. */
export function routeOf(api: Api, context: Context<ApiEnvironment>): RouteConfig | undefined {
  const handler = matchedRoutes(context).find(({ method }) => method !== "ALL");
  return handler && findDescription(api, handler.method, handler.path);
}

/** The right that a route needs; INTERNAL when it states none: such a route answers nobody. */
export function rightOf(route: RouteConfig): Right {
  const right = (route as Record<string, unknown>)[RIGHT] as Right;
  if (!RIGHTS.includes(right)) throw withoutRight(route.method, route.path);
  return right;
}

/** Whether a route is for everybody who holds its right anywhere. */
export function isForAll(route: RouteConfig): boolean {
  return (route as Record<string, unknown>)[FOR_ALL] === true;
}

/** INTERNAL when the router holds a route that states no right. */
export function checkRights(api: Api): void {
  for (const { method, path } of api.routes) {
    if (method === "ALL") continue;
    const route = findDescription(api, method, path);
    if (!route) throw withoutRight(method, path);
    rightOf(route);
  }
}

function findDescription(api: Api, method: string, path: string): RouteConfig | undefined {
  for (const definition of api.openAPIRegistry.definitions) {
    if (definition.type !== "route") continue;
    const { route } = definition;
    if (route.method.toUpperCase() === method && route.path.replaceAll(/\{(.+?)\}/g, ":$1") === path) return route;
  }
  return undefined;
}

function withoutRight(method: string, path: string): ApplianceError {
  return new ApplianceError("INTERNAL", `route ${method.toUpperCase()} ${path} states no right`);
}
