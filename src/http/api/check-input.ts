import type { RouteConfig, z } from "@hono/zod-openapi";
import { describeIssue, formatKey, valueAt } from "../../config/describe-issue.ts";
import { ApplianceError } from "../../errors.ts";

/** INVALID with the most telling thing that is wrong with a request's body, query or path, as its route describes them. */
export function describeInput(
  route: RouteConfig,
  failed: { error: { issues: z.core.$ZodIssue[] }; data: unknown; target: string },
): ApplianceError {
  const { issues } = failed.error;
  // a misspelt key explains the one that is missing
  const worst = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
  const [first] = worst ? describeIssue(worst, failed.data, schemaOf(route, failed.target)) : [];
  if (!first) return new ApplianceError("INVALID", "the request can't be read");
  const field = formatKey(first.path) || "body";
  const [reason = "", ...remedies] = first.message.split("; ");
  const value = valueAt(failed.data, first.path);
  const remedy = remedies.join("; ");
  return new ApplianceError("INVALID", `${field}: ${reason}`, {
    details: { field, ...(typeof value === "object" ? {} : { value }), ...(remedy ? { remedy } : {}) },
  });
}

function schemaOf(route: RouteConfig, target: string): z.core.$ZodType | undefined {
  const { request } = route;
  if (target === "query") return request?.query as z.core.$ZodType | undefined;
  if (target === "param") return request?.params as z.core.$ZodType | undefined;
  const content = request?.body?.content["application/json"];
  return content && "schema" in content ? (content.schema as z.core.$ZodType) : undefined;
}
