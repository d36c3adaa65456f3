import { z } from "@hono/zod-openapi";
import { holdsIn } from "../../../access/caller.ts";
import { bootNic } from "../../../nodes/node.ts";
import { addNode, cableNode } from "../../../operations/cable-node.ts";
import { isDirtyFor, moveNode, noteWiped } from "../../../operations/move-node.ts";
import { removeNode } from "../../../operations/remove-node.ts";
import { stallOf } from "../../../operations/stalls.ts";
import { DEFAULT_PROJECT } from "../../../projects/project.ts";
import { parseIpv4 } from "../../../values/ipv4.ts";
import { parseMac } from "../../../values/mac.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact, written } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { bootSchema, viewBoot } from "../views/boot-view.ts";
import { nodeSchema, viewNode } from "../views/node-view.ts";
import { body, json } from "./answers.ts";

const params = z.object({ node: z.string().openapi({ description: "Name or id" }) });

const isolatedName = z
  .string()
  .regex(/^[^\s/]{1,255}$/, "write the name as the isolator shows it: 1 to 255 characters without space and slash");

const newNic = z.strictObject({
  mac: written(parseMac).openapi({ example: "52:54:00:12:34:56" }),
  role: z.enum(["boot", "data"]).default("boot"),
  network: z.string().optional(),
  address: written(parseIpv4).optional(),
  port: isolatedName
    .optional()
    .openapi({ description: "What the network isolator calls it: HIL's label, a switch's port" }),
});

const newPower = z.discriminatedUnion("driver", [
  z.strictObject({ driver: z.literal("manual") }),
  z.strictObject({
    driver: z.literal("hil"),
    hilNode: z
      .string()
      .regex(/^[^/]+$/, "name a node of HIL; no slash is in one")
      .optional()
      .openapi({ description: "What HIL calls the node; without it, its name here" }),
  }),
  z
    .strictObject({
      driver: z.literal("ipmi"),
      address: z.string().min(1).openapi({ description: "Of the BMC" }),
      port: z.int().min(1).max(65535).default(623),
      user: z.string().min(1),
      passwordFile: z.string().startsWith("/", "write the absolute path, from / on").optional(),
      passwordEnvironment: z.string().min(1).optional(),
    })
    .refine(
      ({ passwordFile, passwordEnvironment }) => (passwordFile === undefined) !== (passwordEnvironment === undefined),
      { path: ["passwordFile"], error: "names where the password is; give either it or passwordEnvironment" },
    ),
]);

const newNode = z
  .strictObject({
    name: z.string(),
    project: z.string().default(DEFAULT_PROJECT).openapi({ description: "The owner" }),
    nics: z.array(newNic).min(1),
    firmware: z.enum(["bios", "uefi"]),
    loader: z.enum(["auto", "ours"]).default("auto"),
    power: newPower,
    isolatedAs: isolatedName.optional().openapi({ description: "What the network isolator calls the node, if not so" }),
  })
  .openapi("NewNode");

const cablingBody = z
  .strictObject({
    isolatedAs: isolatedName.nullable().optional().openapi({ description: "What the network isolator calls the node" }),
    ports: z
      .array(z.strictObject({ mac: written(parseMac), port: isolatedName.nullable() }))
      .optional()
      .openapi({ description: "What it calls NICs of the node; null: not cabled" }),
  })
  .openapi("Cabling");

const moveBody = z
  .strictObject({
    project: z.string(),
    unwiped: z.boolean().default(false).openapi({ description: "The caller answers for what its drives may hold" }),
  })
  .openapi("NodeMove");

const routes = {
  list: describeRoute(
    "node:read",
    {
      method: "get",
      path: "/v1/nodes",
      responses: { 200: json("The nodes of the caller's projects, by name", z.array(nodeSchema)) },
    },
    { forAll: true },
  ),
  add: describeRoute("node:write", {
    method: "post",
    path: "/v1/nodes",
    request: { body: body(newNode) },
    responses: { 201: json("The node, registered", nodeSchema) },
  }),
  get: describeRoute("node:read", {
    method: "get",
    path: "/v1/nodes/{node}",
    request: { params },
    responses: { 200: json("The node", nodeSchema) },
  }),
  remove: describeRoute("node:write", {
    method: "delete",
    path: "/v1/nodes/{node}",
    request: { params },
    responses: { 204: { description: "Forgotten" } },
  }),
  cable: describeRoute("node:write", {
    method: "patch",
    path: "/v1/nodes/{node}/cabling",
    request: { params, body: body(cablingBody) },
    responses: { 200: json("The node", nodeSchema) },
  }),
  move: describeRoute("node:write", {
    method: "post",
    path: "/v1/nodes/{node}/move",
    request: { params, body: body(moveBody) },
    responses: { 200: json("The node, in its new project", nodeSchema) },
  }),
  wiped: describeRoute("node:write", {
    method: "post",
    path: "/v1/nodes/{node}/wiped",
    request: { params },
    responses: { 200: json("The node, clean", nodeSchema) },
  }),
  boots: describeRoute("node:read", {
    method: "get",
    path: "/v1/nodes/{node}/boots",
    request: { params },
    responses: { 200: json("Its last boots, newest first", z.array(bootSchema)) },
  }),
};

/** The nodes themselves; what is done with them is in node-work.ts. */
export function addNodeRoutes(api: Api, { appliance, boots }: ApiParts): void {
  const { nodes } = appliance;
  api.openapi(routes.list, (c) =>
    c.json(
      nodes
        .list()
        .filter(({ project }) => holdsIn(c.var.caller, "node:read", project))
        .map((node) => viewNode(appliance, node, c.var.caller)),
      200,
    ),
  );
  api.openapi(routes.add, async (c) => {
    const node = await addNode(appliance, exact(c.req.valid("json")), c.var.caller.name);
    return c.json(viewNode(appliance, node, c.var.caller), 201, { Location: `/v1/nodes/${node.name}` });
  });
  api.openapi(routes.get, (c) => c.json(viewNode(appliance, nodes.get(c.req.valid("param").node), c.var.caller), 200));
  api.openapi(routes.remove, async (c) => {
    await removeNode(appliance, c.req.valid("param").node);
    return c.body(null, 204);
  });
  api.openapi(routes.cable, async (c) => {
    const node = await cableNode(appliance, c.req.valid("param").node, exact(c.req.valid("json")));
    return c.json(viewNode(appliance, node, c.var.caller), 200);
  });
  api.openapi(routes.move, async (c) => {
    const { project, unwiped } = c.req.valid("json");
    const before = nodes.get(c.req.valid("param").node);
    const drives = isDirtyFor(appliance, before, project)
      ? `, drives unwiped since ${before.dirty?.project} had it`
      : "";
    const node = await moveNode(appliance, { node: before.id, project, unwiped });
    c.set("summary", `node ${node.name} from ${before.project} to ${project}${drives}`);
    return c.json(viewNode(appliance, node, c.var.caller), 200);
  });
  api.openapi(routes.wiped, async (c) => {
    const { dirty } = nodes.get(c.req.valid("param").node);
    const node = await noteWiped(appliance, c.req.valid("param").node);
    c.set("summary", `drives of node ${node.name} wiped${dirty ? `, after ${dirty.project} had it` : ""}`);
    return c.json(viewNode(appliance, node, c.var.caller), 200);
  });
  api.openapi(routes.boots, (c) => {
    const node = nodes.get(c.req.valid("param").node);
    const [latest, ...earlier] = boots.boots(bootNic(node).mac);
    const views = latest
      ? [viewBoot(latest, stallOf(appliance, node.id)), ...earlier.map((boot) => viewBoot(boot))]
      : [];
    return c.json(views, 200);
  });
}
