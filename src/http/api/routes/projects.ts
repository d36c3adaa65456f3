import { z } from "@hono/zod-openapi";
import { seesProject } from "../../../access/caller.ts";
import { removeProject } from "../../../operations/remove-project.ts";
import type { ProjectRecord } from "../../../projects/project.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { momentIfAny, momentSchema } from "../views/text.ts";
import { body, json } from "./answers.ts";

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
