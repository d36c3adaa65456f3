import { z } from "@hono/zod-openapi";
import { deprovision } from "../../../operations/deprovision.ts";
import { attachNetwork, detachNetwork } from "../../../operations/network-membership.ts";
import { confirmPower, powerNode, powerStatus } from "../../../operations/power-node.ts";
import { provision } from "../../../operations/provision.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { operatorRequestSchema, viewOperatorRequest } from "../views/operation-view.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const params = z.object({ node: z.string().openapi({ description: "Name or id" }) });

const joining = z.strictObject({
  nic: z.string().openapi({ description: "Its MAC, or what the isolator calls it" }),
  network: z.string().openapi({ description: "Name, or `OWNER/NAME` of one that is shared" }),
  channel: z.enum(["native", "tagged"]).default("native").openapi({ description: "Untagged, or with the VLAN's tag" }),
});

const provisionBody = z
  .strictObject({
    image: z.string().optional().openapi({ description: "Image to clone: this or `disk`" }),
    disk: z.string().optional().openapi({ description: "Existing disk to boot" }),
    data: z.array(z.string()).optional().openapi({ description: "Disks to attach beside it, from LUN 2 on" }),
    diskName: z.string().optional().openapi({ description: "Name of the new clone" }),
    sizeBytes: z.int().optional().openapi({
      description: "Of the new clone, where it is to be longer than the image; whole sectors of 512 bytes",
    }),
    attach: z
      .array(joining)
      .max(64)
      .optional()
      .openapi({ description: "Networks that NICs are in from the first boot" }),
    once: z.boolean().optional().openapi({ description: "Boot it a single time" }),
    forceOff: z.boolean().optional().openapi({ description: "Power off the node that has the disk, and take it" }),
    seenOff: z.boolean().optional().openapi({ description: "The caller saw that node off: its BMC is not asked" }),
  })
  .openapi("Provision");

const deprovisionBody = z
  .strictObject({
    disk: z.enum(["keep", "delete"]).default("keep"),
    now: z.boolean().default(false).openapi({ description: "Cut the power instead of asking the OS first" }),
    seenOff: z.boolean().default(false).openapi({ description: "The caller saw it off: its BMC is not asked" }),
  })
  .openapi("Deprovision");

const powerBody = z.strictObject({ action: z.enum(["on", "off", "soft-off", "reset"]) }).openapi("PowerAction");
const powerSchema = z.object({ node: z.string(), power: z.enum(["on", "off"]) }).openapi("PowerState");

const routes = {
  provision: describeRoute("node:provision", {
    method: "post",
    path: "/v1/nodes/{node}/provision",
    request: { params, body: body(provisionBody) },
    responses: ACCEPTED,
  }),
  deprovision: describeRoute("node:provision", {
    method: "post",
    path: "/v1/nodes/{node}/deprovision",
    request: { params, body: body(deprovisionBody) },
    responses: ACCEPTED,
  }),
  powerStatus: describeRoute("node:read", {
    method: "get",
    path: "/v1/nodes/{node}/power",
    request: { params },
    responses: { 200: json("What its BMC says now", powerSchema) },
  }),
  confirmPower: describeRoute("node:power", {
    method: "post",
    path: "/v1/nodes/{node}/power/confirm",
    request: { params },
    responses: { 200: json("What an operation waited for, done by hand and seen done", operatorRequestSchema) },
  }),
  attach: describeRoute("node:provision", {
    method: "post",
    path: "/v1/nodes/{node}/networks",
    request: { params, body: body(joining.openapi("NetworkAttachment")) },
    responses: ACCEPTED,
  }),
  detach: describeRoute("node:provision", {
    method: "post",
    path: "/v1/nodes/{node}/networks/detach",
    request: { params, body: body(joining.omit({ channel: true }).openapi("NetworkDetachment")) },
    responses: ACCEPTED,
  }),
  power: describeRoute("node:power", {
    method: "post",
    path: "/v1/nodes/{node}/power",
    request: { params, body: body(powerBody) },
    responses: ACCEPTED,
  }),
};

/** What is done with nodes. */
export function addNodeWorkRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.provision, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    return accepted(c, appliance, await provision(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.attach, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await attachNetwork(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.detach, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await detachNetwork(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.deprovision, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await deprovision(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.powerStatus, async (c) => {
    const { node } = c.req.valid("param");
    return c.json({ node, power: await powerStatus(appliance, node) }, 200);
  });
  api.openapi(routes.confirmPower, (c) =>
    c.json(viewOperatorRequest(confirmPower(appliance, c.req.valid("param").node)), 200),
  );
  api.openapi(routes.power, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await powerNode(appliance, request, c.var.caller.name));
  });
}
