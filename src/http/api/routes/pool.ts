import { z } from "@hono/zod-openapi";
import { growPool } from "../../../operations/grow-pool.ts";
import { poolReport } from "../../../operations/pool-report.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { poolSchema, viewPool } from "../views/pool-view.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const LARGEST = 20;

const growBody = z
  .strictObject({
    sizeBytes: z.int().positive().optional().openapi({ description: "Of the pool's file" }),
    addedBytes: z.int().positive().optional().openapi({ description: "Or how much more it shall have" }),
  })
  .openapi("GrowPool");

const routes = {
  show: describeRoute("system:read", {
    method: "get",
    path: "/v1/system/pool",
    responses: { 200: json(`The pool, and the ${LARGEST} things that take up most of it`, poolSchema) },
  }),
  grow: describeRoute("system:write", {
    method: "post",
    path: "/v1/system/pool/grow",
    request: { body: body(growBody) },
    responses: ACCEPTED,
  }),
};

/** The image pool's room. */
export function addPoolRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.show, async (c) => c.json(viewPool(appliance, await poolReport(appliance, LARGEST)), 200));
  api.openapi(routes.grow, async (c) =>
    accepted(c, appliance, await growPool(appliance, exact(c.req.valid("json")), c.var.caller.name)),
  );
}
