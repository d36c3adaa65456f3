import { Readable } from "node:stream";
import { z } from "@hono/zod-openapi";
import { holdsEverywhere, holdsIn } from "../../../access/caller.ts";
import { TENURES, type Tenure } from "../../../audit/tenure.ts";
import { tenuresAt, usageOf } from "../../../audit/usage.ts";
import { verifyChain } from "../../../audit/verify.ts";
import { parseIpv4 } from "../../../values/ipv4.ts";
import type { Api, ApiParts } from "../api.ts";
import { written } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { auditSchema, verdictSchema } from "../views/audit-view.ts";
import { tenureSchema, usageSchema, viewTenure } from "../views/tenure-view.ts";
import { json } from "./answers.ts";

const query = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  who: z.string().optional().openapi({ description: "As it stands in the entries: token:ci, user:ada" }),
  project: z.string().optional(),
  operation: z.string().optional(),
  since: z.iso.datetime().optional(),
  until: z.iso.datetime().optional(),
});

const whoQuery = z
  .strictObject({
    node: z.string().optional().openapi({ description: "Name or id" }),
    address: written(parseIpv4).optional(),
    disk: z.string().optional().openapi({ description: "Name or id" }),
    at: z.iso.datetime({ offset: true }).optional().openapi({ description: "By default now" }),
  })
  .refine(({ node, address, disk }) => [node, address, disk].filter((one) => one !== undefined).length === 1, {
    path: ["node"],
    error: "say of what: node, address or disk, one of them",
  });
const usageQuery = z.strictObject({
  month: z
    .string()
    .regex(/^\d{4}-(0[1-9]|1[0-2])$/, "write it like 2026-11")
    .optional()
    .openapi({ description: "In UTC; by default the one that lasts" }),
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
  who: describeRoute("audit:read", {
    method: "get",
    path: "/v1/audit/who",
    request: { query: whoQuery },
    responses: {
      200: json("Who had that then: none, or one; several for a name that several have", z.array(tenureSchema)),
    },
  }),
  usage: describeRoute(
    "project:read",
    {
      method: "get",
      path: "/v1/usage",
      request: { query: usageQuery },
      responses: { 200: json("What the caller's projects had in a month", z.array(usageSchema)) },
    },
    { forAll: true },
  ),
};

/** Who did what, and what came of it; who had what, and how much of it. */
export function addAuditRoutes(api: Api, { audit, appliance }: ApiParts): void {
  const tenures = appliance.records.collection<Tenure>(TENURES);
  api.openapi(routes.list, async (c) => {
    const { limit, who, project, operation, ...span } = c.req.valid("query");
    // as entries have it: it may come without milliseconds
    const [since, until] = [span.since, span.until].map((at) => at && new Date(at).toISOString());
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
  api.openapi(routes.who, (c) => {
    const { node, address, disk, at } = c.req.valid("query");
    const fits = (one: Tenure) =>
      one.kind === "disk"
        ? disk !== undefined && [one.disk, one.diskName].includes(disk)
        : (node !== undefined && [one.node, one.nodeName].includes(node)) ||
          (address !== undefined && one.address === address);
    const found = tenuresAt(tenures, at === undefined ? appliance.clock.now() : Date.parse(at), fits);
    return c.json(
      found.map((one) => viewTenure(appliance, one)),
      200,
    );
  });
  api.openapi(routes.usage, (c) => {
    const now = appliance.clock.now();
    const { month = new Date(now).toISOString().slice(0, 7) } = c.req.valid("query");
    const { caller } = c.var;
    // an earlier project of the same name was another one
    const isOwn = ({ project, until = now }: Tenure) =>
      holdsEverywhere(caller, "project:read") ||
      (holdsIn(caller, "project:read", project) && !appliance.projects.isFormer(project, until));
    return c.json(usageOf(tenures, month, now, isOwn), 200);
  });
}
