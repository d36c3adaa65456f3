import { Readable } from "node:stream";
import { z } from "@hono/zod-openapi";
import { verifyChain } from "../../../audit/verify.ts";
import type { Api, ApiParts } from "../api.ts";
import { describeRoute } from "../route.ts";
import { auditSchema, verdictSchema } from "../views/audit-view.ts";
import { json } from "./answers.ts";

const query = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  who: z.string().optional().openapi({ description: "As it stands in the entries: token:ci, user:ada" }),
  project: z.string().optional(),
  operation: z.string().optional(),
  since: z.iso.datetime().optional(),
  until: z.iso.datetime().optional(),
});

const routes = {
  list: describeRoute("audit:read", {
    method: "get",
    path: "/v1/audit",
    request: { query },
    responses: { 200: json("The last entries, newest first", z.array(auditSchema)) },
  }),
  lines: describeRoute("audit:read", {
    method: "get",
    path: "/v1/audit/lines",
    responses: {
      200: {
        description:
          "All of it as it is kept, oldest first: JSON lines, each with the hash of itself and of the one before it",
        content: { "application/jsonl": { schema: z.string() } },
      },
    },
  }),
  verify: describeRoute("audit:read", {
    method: "get",
    path: "/v1/audit/verdict",
    responses: { 200: json("Whether it is one unbroken chain", verdictSchema) },
  }),
};

/** Who did what, and what came of it. */
export function addAuditRoutes(api: Api, { audit }: ApiParts): void {
  api.openapi(routes.list, async (c) => {
    const { limit, who, project, operation, since, until } = c.req.valid("query");
    const found = await audit.last(
      limit,
      (entry) =>
        (who === undefined || entry.who === who || entry.user === who) &&
        (project === undefined || entry.project === project || entry.path?.split("/")[3] === project) &&
        (operation === undefined || entry.operation === operation) &&
        (since === undefined || entry.at >= since) &&
        (until === undefined || entry.at <= until),
    );
    return c.json(found, 200);
  });
  api.openapi(routes.lines, (c) => {
    const lines = async function* () {
      for await (const line of audit.lines()) yield `${line}\n`;
    };
    const body = Readable.toWeb(Readable.from(lines(), { objectMode: false })) as ReadableStream;
    // a stream is no text to the type of the route
    return c.body(body, 200, { "Content-Type": "application/jsonl" }) as never;
  });
  api.openapi(routes.verify, async (c) => c.json(await verifyChain(audit.lines()), 200));
}
