import { STATUS_CODES } from "node:http";
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { type Caller, holdsEverywhere, seesProject } from "../../access/caller.ts";
import { ApplianceError, ERROR_KINDS, type ErrorCode, type ErrorKind, toApplianceError } from "../../errors.ts";

/** The HTTP status of each family of errors. */
const STATUS: Record<ErrorKind, ContentfulStatusCode> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  throttled: 429,
  "not-found": 404,
  conflict: 409,
  internal: 500,
  unsupported: 501,
  unavailable: 503,
  timeout: 504,
  exhausted: 507,
};

/** An error as the API answers it, `application/problem+json` (RFC 9457 3). */
export const problemSchema = z
  .object({
    title: z.string().openapi({ description: "The status in words; `type` is about:blank (RFC 9457 4.2.1)" }),
    status: z.int(),
    detail: z.string().openapi({ description: "What went wrong, in a sentence" }),
    code: z.enum(Object.keys(ERROR_KINDS) as [ErrorCode, ...ErrorCode[]]).openapi({ description: "For programs" }),
    field: z.string().optional().openapi({ description: "Which part of the input" }),
    value: z.unknown().optional().openapi({ description: "What stood there" }),
    remedy: z.string().optional().openapi({ description: "What to do about it" }),
    usedBy: z
      .array(
        z.object({
          kind: z.string().openapi({ description: "disk, node, operation, …" }),
          name: z.string(),
          project: z.string().optional().openapi({ description: "Where that is another one" }),
        }),
      )
      .optional()
      .openapi({ description: "IN_USE: all that uses it" }),
    retryAfterSeconds: z.int().optional().openapi({ description: "THROTTLED: when to try again" }),
    requestId: z.string().openapi({ description: "Names this request in the log" }),
  })
  .openapi("Problem");
export type Problem = z.infer<typeof problemSchema>;

/** What the caller is told of an error. Nothing internal: for our own bugs only where to look. Nothing of projects that they do not see. */
export function describeProblem(error: unknown, requestId: string, caller?: Caller): Problem {
  const known = error instanceof HTTPException ? fromHttp(error) : toApplianceError(error);
  const status = error instanceof HTTPException ? error.status : STATUS[known.kind];
  const title = STATUS_CODES[status] ?? "Error";
  if (known.kind === "internal") {
    return {
      title,
      status,
      detail: "the appliance made a mistake",
      code: known.code,
      remedy: `look for ${requestId} in its log: journalctl -u ingot --grep ${requestId}`,
      requestId,
    };
  }
  const { field, value, operatorRemedy, retryAfterSeconds } = known.details;
  const isOperator = caller !== undefined && holdsEverywhere(caller, "system:read");
  const remedy = (isOperator ? operatorRemedy : undefined) ?? known.details.remedy;
  const isSeen = ({ project }: { project?: string }) =>
    project === undefined || (caller !== undefined && seesProject(caller, project));
  const usedBy = known.details.usedBy?.filter(isSeen);
  return {
    title,
    status,
    detail: known.message,
    code: known.code,
    field,
    value,
    remedy,
    usedBy,
    retryAfterSeconds,
    requestId,
  };
}

/** Answers a problem. */
export function respondProblem(context: Context, problem: Problem): Response {
  // RFC 9110 15.5.2: a 401 names the scheme
  const challenge: Record<string, string> = problem.status === 401 ? { "WWW-Authenticate": "Bearer" } : {};
  const { retryAfterSeconds } = problem;
  const later: Record<string, string> =
    retryAfterSeconds === undefined ? {} : { "Retry-After": String(retryAfterSeconds) };
  return context.body(JSON.stringify(problem), problem.status as ContentfulStatusCode, {
    "Content-Type": "application/problem+json",
    ...challenge,
    ...later,
  });
}

/** The framework's own refusals, of bodies that are not JSON, too long or of another type. */
function fromHttp({ status, message }: HTTPException): ApplianceError {
  const remedies: Partial<Record<number, [string, string]>> = {
    400: ["the body is not JSON", "send one JSON object"],
    413: ["the body is too long", "send at most 1 MiB"],
    415: ["the body is not application/json", "send JSON with Content-Type: application/json"],
  };
  const [detail, remedy] = remedies[status] ?? [message, "see /v1/openapi.json"];
  const code = status >= 500 ? "INTERNAL" : status === 404 ? "NOT_FOUND" : "INVALID";
  return new ApplianceError(code, detail, { details: { remedy } });
}
