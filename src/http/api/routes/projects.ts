import { z } from "@hono/zod-openapi";
import { seesProject } from "../../../access/caller.ts";
import { closeProject, planClosing } from "../../../operations/close-project.ts";
import { removeProject } from "../../../operations/remove-project.ts";
import type { ProjectRecord } from "../../../projects/project.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { momentIfAny, momentSchema } from "../views/text.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const projectSchema = z
  .object({
    name: z.string(),
    description: z.string().optional(),
    createdAt: momentSchema.optional().openapi({ description: "Absent for the one that is always there" }),
    requestedBy: z.string(),
  })
  .openapi("Project");
const newProject = z.strictObject({ name: z.string(), description: z.string().optional() }).openapi("NewProject");
const params = z.object({ project: z.string() });
const closing = z
  .strictObject({
    to: z.string().startsWith("/", "write the absolute path, from / on").optional().openapi({
      description: "Directory on the appliance where images and what disks hold are written first, as qcow2",
    }),
    dryRun: z.boolean().default(false).openapi({ description: "Only tell what would be done, and what is in the way" }),
  })
  .openapi("Closing");
const things = z.array(z.string());
const closingReport = z
  .object({
    project: z.string(),
    released: things.openapi({ description: "Nodes that are provisioned" }),
    nodes: things.openapi({ description: "All that become the default project's" }),
    exported: things,
    disks: things,
    images: things,
    networks: things,
    tokens: things,
    users: things,
    obstacles: things.openapi({ description: "Why it can't be closed yet" }),
  })
  .openapi("ClosingReport");

const routes = {
  list: describeRoute(
    "project:read",
    {
      method: "get",
      path: "/v1/projects",
      responses: { 200: json("The projects that there are for the caller, by name", z.array(projectSchema)) },
    },
    { forAll: true },
  ),
  add: describeRoute("project:write", {
    method: "post",
    path: "/v1/projects",
    request: { body: body(newProject) },
    responses: { 201: json("The project", projectSchema) },
  }),
  close: describeRoute("project:write", {
    method: "post",
    path: "/v1/projects/{project}/close",
    request: { params, body: body(closing) },
    responses: { ...ACCEPTED, 200: json("With dryRun: what would be done", closingReport) },
  }),
  remove: describeRoute("project:write", {
    method: "delete",
    path: "/v1/projects/{project}",
    request: { params },
    responses: { 204: { description: "Forgotten" } },
  }),
};

/** Who owns nodes, images and disks. */
export function addProjectRoutes(api: Api, { appliance, uploads }: ApiParts): void {
  api.openapi(routes.list, (c) =>
    c.json(
      appliance.projects
        .list()
        .filter(({ name }) => seesProject(c.var.caller, name))
        .map(viewProject),
      200,
    ),
  );
  api.openapi(routes.close, async (c) => {
    const { dryRun, ...rest } = c.req.valid("json");
    const request = exact({ ...rest, ...c.req.valid("param") });
    if (dryRun) return c.json(planClosing(appliance, request), 200);
    return accepted(c, appliance, await closeProject(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.add, async (c) => {
    const project = await appliance.projects.add(exact(c.req.valid("json")), c.var.caller.name);
    return c.json(viewProject(project), 201, { Location: `/v1/projects/${project.name}` });
  });
  api.openapi(routes.remove, async (c) => {
    await removeProject(appliance, uploads, c.req.valid("param").project);
    return c.body(null, 204);
  });
}

function viewProject({ name, description, createdAt, requestedBy }: ProjectRecord): z.infer<typeof projectSchema> {
  return { name, description, createdAt: momentIfAny(createdAt || undefined), requestedBy };
}
