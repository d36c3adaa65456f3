import { z } from "@hono/zod-openapi";
import { retryOperation } from "../../../operations/retry-operation.ts";
import { settledWithin } from "../../../operations/settled-within.ts";
import { seesOperation } from "../admission.ts";
import type { Api, ApiParts } from "../api.ts";
import { describeRoute } from "../route.ts";
import { operationSchema, viewOperation } from "../views/operation-view.ts";
import { json } from "./answers.ts";

const params = z.object({ operation: z.string().openapi({ description: "Its id" }) });
const wait = z.strictObject({
  waitSeconds: z.coerce
    .number()
    .int()
    .min(0)
    .max(60)
    .default(0)
    .openapi({ description: "Answer when it is over or stuck, or after this time" }),
});

const vouch = z.strictObject({
  seenOff: z
    .enum(["true", "false"])
    .default("false")
    .openapi({ description: "The caller saw its nodes off: dead BMCs are not asked any more" }),
});

const routes = {
  list: describeRoute(
    "operation:read",
    {
      method: "get",
      path: "/v1/operations",
      responses: { 200: json("Those of the caller's projects that are kept, newest first", z.array(operationSchema)) },
    },
    { forAll: true },
  ),
  get: describeRoute("operation:read", {
    method: "get",
    path: "/v1/operations/{operation}",
    request: { params, query: wait },
    responses: { 200: json("The operation and its progress", operationSchema) },
  }),
  cancel: describeRoute("operation:write", {
    method: "post",
    path: "/v1/operations/{operation}/cancel",
    request: { params },
    responses: { 200: json("The operation, asked to stop and unwind", operationSchema) },
  }),
  retry: describeRoute("operation:write", {
    method: "post",
    path: "/v1/operations/{operation}/retry",
    request: { params, query: vouch },
    responses: { 202: json("The operation, going on where it stuck", operationSchema) },
  }),
};

/** Long changes: how far they are, stop them, go on with them. */
export function addOperationRoutes(api: Api, { appliance }: ApiParts): void {
  const { runner, clock } = appliance;
  api.openapi(routes.list, (c) =>
    c.json(
      runner
        .list()
        .filter((operation) => seesOperation(appliance, c.var.caller, operation))
        .map((operation) => viewOperation(appliance, operation)),
      200,
    ),
  );
  api.openapi(routes.get, async (c) => {
    const { operation: id } = c.req.valid("param");
    const unwanted = AbortSignal.any([c.req.raw.signal, ...(c.env.stopping ? [c.env.stopping] : [])]);
    const operation = await settledWithin(runner, clock, id, c.req.valid("query").waitSeconds, unwanted);
    return c.json(viewOperation(appliance, operation), 200);
  });
  api.openapi(routes.cancel, async (c) =>
    c.json(viewOperation(appliance, await runner.cancel(c.req.valid("param").operation)), 200),
  );
  api.openapi(routes.retry, async (c) => {
    const request = { ...c.req.valid("param"), seenOff: c.req.valid("query").seenOff === "true" };
    const operation = await retryOperation(appliance, request, c.var.caller.name);
    return c.json(viewOperation(appliance, operation), 202, { Location: `/v1/operations/${operation.id}` });
  });
}
