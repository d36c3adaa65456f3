import { z } from "@hono/zod-openapi";
import { seesProject } from "../../../access/caller.ts";
import { createNetwork, removeNetwork, shareNetwork } from "../../../operations/tenant-network.ts";
import { demand } from "../admission.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { networkSchema, viewNetwork, viewProvisioning } from "../views/tenant-network-view.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const ofProject = z.object({ project: z.string() });
const params = ofProject.extend({ network: z.string().openapi({ description: "Name or id" }) });
const newNetwork = z
  .strictObject({
    name: z.string(),
    vlan: z
      .int()
      .min(1)
      .max(4094)
      .optional()
      .openapi({ description: "For operators to wish; the isolator chooses else" }),
  })
  .openapi("NewNetwork");
const access = z
  .strictObject({
    projects: z.array(z.string()).min(1).max(256).openapi({ description: "Beside the one that it belongs to" }),
  })
  .openapi("NetworkSharing");

const routes = {
  list: describeRoute("network:read", {
    method: "get",
    path: "/v1/projects/{project}/networks",
    request: { params: ofProject },
    responses: { 200: json("The project's, those shared with it, and where it may boot", z.array(networkSchema)) },
  }),
  create: describeRoute("network:write", {
    method: "post",
    path: "/v1/projects/{project}/networks",
    request: { params: ofProject, body: body(newNetwork) },
    responses: ACCEPTED,
  }),
  get: describeRoute("network:read", {
    method: "get",
    path: "/v1/projects/{project}/networks/{network}",
    request: { params },
    responses: { 200: json("The network", networkSchema) },
  }),
  remove: describeRoute("network:write", {
    method: "delete",
    path: "/v1/projects/{project}/networks/{network}",
    request: { params },
    responses: ACCEPTED,
  }),
  share: describeRoute("network:write", {
    method: "post",
    path: "/v1/projects/{project}/networks/{network}/share",
    request: { params, body: body(access) },
    responses: ACCEPTED,
  }),
  unshare: describeRoute("network:write", {
    method: "post",
    path: "/v1/projects/{project}/networks/{network}/unshare",
    request: { params, body: body(access) },
    responses: ACCEPTED,
  }),
};

/** Networks of projects; NICs are put into them in node-work.ts. */
export function addTenantNetworkRoutes(api: Api, { appliance }: ApiParts): void {
  const { networks, projects } = appliance;
  api.openapi(routes.list, (c) => {
    const { name } = projects.get(c.req.valid("param").project);
    const provisioning = appliance.config.networks.filter((one) => one.project === undefined || one.project === name);
    return c.json(
      [
        ...networks.listUsable(name).map((one) => viewNetwork(appliance, one, name, c.var.caller)),
        ...provisioning.map((one) => viewProvisioning(one, c.var.caller)),
      ],
      200,
    );
  });
  api.openapi(routes.create, async (c) => {
    const request = { ...exact(c.req.valid("json")), project: projects.get(c.req.valid("param").project).name };
    if (request.vlan !== undefined) demand(c.var.caller, "network:write");
    return accepted(c, appliance, await createNetwork(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.get, (c) => {
    const { project, network } = c.req.valid("param");
    const found = networks.getUsable(projects.get(project).name, network);
    return c.json(viewNetwork(appliance, found, project, c.var.caller), 200);
  });
  api.openapi(routes.remove, async (c) =>
    accepted(c, appliance, await removeNetwork(appliance, c.req.valid("param"), c.var.caller.name)),
  );
  for (const verb of ["share", "unshare"] as const) {
    api.openapi(routes[verb], async (c) => {
      const request = { ...c.req.valid("json"), ...c.req.valid("param") };
      const sees = (name: string) => seesProject(c.var.caller, name);
      return accepted(c, appliance, await shareNetwork(appliance, verb, request, sees, c.var.caller.name));
    });
  }
}
