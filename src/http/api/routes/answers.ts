import type { RouteConfig, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Appliance } from "../../../operations/appliance.ts";
import type { OperationRecord } from "../../../operations/operation.ts";
import { operationSchema, viewOperation } from "../views/operation-view.ts";

/** A JSON answer in a route's description. */
export function json<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { "application/json": { schema } } };
}

/** A JSON body in a route's description; a request without one is refused. */
export function body<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { "application/json": { schema } } };
}

/** The responses of a route that begins an operation. */
export const ACCEPTED = {
  202: { ...json("The operation that began; Location tells where it is", operationSchema) },
} as const satisfies RouteConfig["responses"];

/** 202 with the operation that began, and where to look at it. */
export function accepted(context: Context, appliance: Appliance, operation: OperationRecord) {
  return context.json(viewOperation(appliance, operation), 202, { Location: `/v1/operations/${operation.id}` });
}
