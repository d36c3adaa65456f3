import { z } from "@hono/zod-openapi";
import { attachDisk } from "../../../operations/attach-disk.ts";
import { detachDisk } from "../../../operations/detach-disk.ts";
import { flatten } from "../../../operations/flatten.ts";
import { removeDisk } from "../../../operations/remove-disk.ts";
import { revertDisk } from "../../../operations/revert-disk.ts";
import { snapshotDisk } from "../../../operations/snapshot-disk.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { diskSchema, viewDisk } from "../views/disk-view.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const project = z.object({ project: z.string() });
const params = project.extend({ disk: z.string().openapi({ description: "Name or id" }) });

const snapshotBody = z
  .strictObject({ image: z.string().openapi({ description: "Name of the new image" }) })
  .openapi("Snapshot");
const revertBody = z
  .strictObject({
    image: z.string().optional().openapi({ description: "By default the one that the disk was cloned from" }),
  })
  .openapi("Revert");

const attachBody = z
  .strictObject({
    node: z.string().openapi({ description: "Name or id of a provisioned node" }),
    readOnly: z.boolean().optional().openapi({ description: "Its node can't write to it" }),
    lun: z.int().optional().openapi({ description: "2 to 255; the lowest free one by default" }),
    forceOff: z.boolean().optional().openapi({ description: "Power off the node that boots the disk, and take it" }),
    seenOff: z.boolean().optional().openapi({ description: "The caller saw that node off: its BMC is not asked" }),
  })
  .openapi("Attach");
const detachBody = z
  .strictObject({
    unmounted: z.boolean().optional().openapi({ description: "Its node's OS has let go of it, so the node may be on" }),
    seenOff: z.boolean().optional().openapi({ description: "The caller saw the node off: its BMC is not asked" }),
  })
  .openapi("Detach");

const routes = {
  list: describeRoute("disk:read", {
    method: "get",
    path: "/v1/projects/{project}/disks",
    request: { params: project, query: z.object({ deleted: z.enum(["true"]).optional() }) },
    responses: { 200: json("The project's disks, by name; with `deleted`, the deleted ones", z.array(diskSchema)) },
  }),
  get: describeRoute("disk:read", {
    method: "get",
    path: "/v1/projects/{project}/disks/{disk}",
    request: { params },
    responses: { 200: json("The disk", diskSchema) },
  }),
  snapshot: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks/{disk}/snapshot",
    request: { params, body: body(snapshotBody) },
    responses: ACCEPTED,
  }),
  revert: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks/{disk}/revert",
    request: { params, body: body(revertBody) },
    responses: ACCEPTED,
  }),
  flatten: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks/{disk}/flatten",
    request: { params },
    responses: ACCEPTED,
  }),
  attach: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks/{disk}/attach",
    request: { params, body: body(attachBody) },
    responses: ACCEPTED,
  }),
  detach: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks/{disk}/detach",
    request: { params, body: body(detachBody) },
    responses: ACCEPTED,
  }),
  remove: describeRoute("disk:write", {
    method: "delete",
    path: "/v1/projects/{project}/disks/{disk}",
    request: {
      params,
      query: z.object({
        now: z.enum(["true"]).optional().openapi({ description: "For good at once, without the grace" }),
      }),
    },
    responses: ACCEPTED,
  }),
};

/** Disks of a project. */
export function addDiskRoutes(api: Api, { appliance }: ApiParts): void {
  const { disks } = appliance;
  api.openapi(routes.list, (c) =>
    c.json(
      disks[c.req.valid("query").deleted ? "listDeleted" : "list"](c.req.valid("param").project).map((disk) =>
        viewDisk(appliance, disk),
      ),
      200,
    ),
  );
  api.openapi(routes.get, (c) => {
    const { project, disk } = c.req.valid("param");
    return c.json(viewDisk(appliance, disks.get(project, disk)), 200);
  });
  api.openapi(routes.snapshot, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await snapshotDisk(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.revert, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    return accepted(c, appliance, await revertDisk(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.flatten, async (c) => {
    const { project, disk } = c.req.valid("param");
    return accepted(c, appliance, await flatten(appliance, { project, kind: "disk", name: disk }, c.var.caller.name));
  });
  api.openapi(routes.attach, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    return accepted(c, appliance, await attachDisk(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.detach, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    return accepted(c, appliance, await detachDisk(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.remove, async (c) => {
    const request = { ...c.req.valid("param"), now: c.req.valid("query").now !== undefined };
    return accepted(c, appliance, await removeDisk(appliance, request, c.var.caller.name));
  });
}
