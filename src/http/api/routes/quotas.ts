import { z } from "@hono/zod-openapi";
import { quotaOf, setQuota } from "../../../operations/quota.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { body, json } from "./answers.ts";

const params = z.object({ project: z.string() });
const amount = z.int().min(0);
const quotaSchema = z
  .object({
    used: z.object({ nodes: amount, disks: amount, images: amount, networks: amount, bytes: amount }).openapi({
      description: "With what is being made, and with deleted disks until they are purged",
    }),
    limits: z.object({
      nodes: amount.optional(),
      disks: amount.optional(),
      images: amount.optional(),
      networks: amount.optional(),
      bytes: amount.optional(),
    }),
  })
  .openapi("Quota");
const limit = amount.nullable().optional();
const quotaChange = z
  .strictObject({ nodes: limit, disks: limit, images: limit, networks: limit, bytes: limit })
  .openapi("QuotaChange", { description: "null takes a limit away; what is left out stays" });

const routes = {
  get: describeRoute("project:read", {
    method: "get",
    path: "/v1/projects/{project}/quota",
    request: { params },
    responses: { 200: json("What the project has, and may have", quotaSchema) },
  }),
  set: describeRoute("project:write", {
    method: "patch",
    path: "/v1/projects/{project}/quota",
    request: { params, body: body(quotaChange) },
    responses: { 200: json("What the project has, and may have now", quotaSchema) },
  }),
};

/** How much a project may have. */
export function addQuotaRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.get, (c) => {
    const { name } = appliance.projects.get(c.req.valid("param").project);
    return c.json(quotaOf(appliance, name), 200);
  });
  api.openapi(routes.set, async (c) => {
    const { project } = c.req.valid("param");
    await setQuota(appliance, project, exact(c.req.valid("json")));
    return c.json(quotaOf(appliance, project), 200);
  });
}
