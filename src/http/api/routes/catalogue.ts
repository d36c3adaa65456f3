import { z } from "@hono/zod-openapi";
import { adopt } from "../../../operations/adopt.ts";
import { checkChoice, compareWithPool } from "../../../operations/adoption.ts";
import { compareNodes } from "../../../operations/compare-nodes.ts";
import { lookForDrift } from "../../../operations/drift-watch.ts";
import { reconcile } from "../../../operations/reconcile.ts";
import { REPAIRS } from "../../../operations/repairs.ts";
import { DEFAULT_PROJECT } from "../../../projects/project.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { candidateSchema, viewCandidate } from "../views/adoption-view.ts";
import { nodeStandingSchema, viewNodeStanding } from "../views/node-standing-view.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const COMPARE_MS = 120_000;

const ids = z.array(z.string().max(63)).max(10_000).default([]);
const adoptBody = z
  .strictObject({
    from: ids.openapi({ description: "Ids of appliances that are gone, whose things become ours" }),
    undescribed: ids.openapi({ description: "Ids of things that nobody has described" }),
    project: z.string().default(DEFAULT_PROJECT).openapi({ description: "Of things whose own project is not here" }),
    dryRun: z.boolean().default(false).openapi({ description: "Only compare, and answer with what would be adopted" }),
  })
  .openapi("Adopt");

const driftSchema = z
  .object({
    kind: z.enum([...REPAIRS, "unrecorded", "target-missing", "unisolated", "unanswered"]),
    id: z.string(),
    subject: z.string(),
    message: z.string(),
    remedy: z.string(),
    owner: z.string().optional().openapi({ description: "Whom the isolator has the node for, by its own names" }),
  })
  .openapi("Drift");

const reconcileBody = z
  .strictObject({
    repair: z.array(z.enum(REPAIRS)).min(1).openapi({ description: "What is repaired; the rest stays" }),
    only: z
      .array(driftSchema.pick({ kind: true, id: true, owner: true }))
      .max(100_000)
      .optional()
      .openapi({ description: "Of these alone, as they were shown; what has come since stays" }),
  })
  .openapi("Reconcile");

const routes = {
  drift: describeRoute("system:read", {
    method: "get",
    path: "/v1/system/drift",
    responses: { 200: json("Where records, pool and targets disagree, compared now", z.array(driftSchema)) },
  }),
  nodes: describeRoute("system:read", {
    method: "get",
    path: "/v1/system/drift/nodes",
    responses: {
      200: json("What records, isolator, targets and BMCs say of each node, asked now", z.array(nodeStandingSchema)),
    },
  }),
  reconcile: describeRoute("system:write", {
    method: "post",
    path: "/v1/system/reconcile",
    request: { body: body(reconcileBody) },
    responses: ACCEPTED,
  }),
  adopt: describeRoute("system:write", {
    method: "post",
    path: "/v1/system/adopt",
    request: { body: body(adoptBody) },
    responses: {
      ...ACCEPTED,
      200: json("With dryRun: what differs between pool and records", z.array(candidateSchema)),
    },
  }),
};

/** The catalogue beside the pool. */
export function addCatalogueRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.drift, async (c) => c.json(await lookForDrift(appliance), 200));
  api.openapi(routes.nodes, async (c) => {
    const standings = await compareNodes(appliance, AbortSignal.timeout(COMPARE_MS));
    return c.json(
      standings.map((one) => viewNodeStanding(appliance, one)),
      200,
    );
  });
  api.openapi(routes.reconcile, async (c) =>
    accepted(c, appliance, await reconcile(appliance, exact(c.req.valid("json")), c.var.caller.name)),
  );
  api.openapi(routes.adopt, async (c) => {
    const { dryRun, ...request } = c.req.valid("json");
    appliance.projects.get(request.project);
    if (!dryRun) return accepted(c, appliance, await adopt(appliance, request, c.var.caller.name));
    const found = await compareWithPool(appliance, request);
    checkChoice(found, request);
    return c.json(found.map(viewCandidate), 200);
  });
}
