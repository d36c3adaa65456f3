import { z } from "@hono/zod-openapi";
import { momentSchema } from "./text.ts";

/** A line of the audit log. */
export const auditSchema = z
  .object({
    seq: z.int(),
    at: momentSchema,
    kind: z.enum(["request", "answer", "operation", "gap"]),
    requestId: z.string().optional(),
    who: z.string().optional(),
    user: z.string().optional(),
    from: z.string().optional(),
    method: z.string().optional(),
    path: z.string().optional(),
    status: z.int().optional(),
    code: z.string().optional(),
    operation: z.string().optional(),
    summary: z.string().optional(),
    project: z.string().optional(),
    state: z.string().optional().openapi({ description: "How an operation ended" }),
    why: z.string().optional().openapi({ description: "What is wrong with the lines before a gap" }),
  })
  .openapi("AuditEntry");

export const verdictSchema = z
  .object({
    lines: z.int(),
    first: z.int().optional().openapi({
      description: "Behind the oldest entry that is kept, once others are gone: nothing vouches for that one",
    }),
    last: z.int().optional(),
    head: z.string().openapi({ description: "Hash of the last line: kept elsewhere, it tells of a chain cut short" }),
    faults: z.array(z.string()).openapi({ description: "Empty: one unbroken chain" }),
  })
  .openapi("AuditVerdict");
