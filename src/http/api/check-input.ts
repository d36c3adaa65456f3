import type { RouteConfig, z } from "@hono/zod-openapi";
import { describeIssue, formatKey } from "../../config/describe-issue.ts";
import { ApplianceError } from "../../errors.ts";

/** INVALID with the first thing that is wrong with a request's body, query or path, as its route describes them. */
export function describeInput(
  route: RouteConfig,
  failed: { error: { issues: z.core.$ZodIssue[] }; data: unknown; target: string },
): ApplianceError {
  const found = failed.error.issues.flatMap((issue) =>
    describeIssue(issue, failed.data, schemaOf(route, failed.target)),
  );
  const [first] = found;
  if (!first) return new ApplianceError("INVALID", "the request can't be read");
  const field = formatKey(first.path) || "body";
  const [reason = "", ...remedies] = first.message.split("; ");
  const value = first.path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    failed.data,
  );
  const remedy = remedies.join("; ");
  return new ApplianceError("INVALID", `${field}: ${reason}`, {
    details: { field, ...(value === undefined ? {} : { value }), ...(remedy ? { remedy } : {}) },
  });
}

function schemaOf(route: RouteConfig, target: string): z.core.$ZodType | undefined {
  const { request } = route;
  if (target === "query") return request?.query as z.core.$ZodType | undefined;
  if (target === "param") return request?.params as z.core.$ZodType | undefined;
  const content = request?.body?.content["application/json"];
  return content && "schema" in content ? (content.schema as z.core.$ZodType) : undefined;
}
