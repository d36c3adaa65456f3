import { z } from "@hono/zod-openapi";
import { createDisk } from "../../../operations/create-disk.ts";
import { limitDisk } from "../../../operations/limit-disk.ts";
import { orphanDisks } from "../../../operations/orphan-disks.ts";
import { purgeDisk, undeleteDisk } from "../../../operations/remove-disk.ts";
import { renameDisk } from "../../../operations/rename-disk.ts";
import { scheduleSnapshots } from "../../../operations/scheduled-snapshots.ts";
import { demand } from "../admission.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { diskSchema, viewDisk } from "../views/disk-view.ts";
import { moment, momentSchema } from "../views/text.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const project = z.object({ project: z.string() });
const params = project.extend({ disk: z.string().openapi({ description: "Name or id" }) });

const newDisk = z
  .strictObject({ name: z.string(), sizeBytes: z.int().openapi({ description: "Whole sectors of 512 bytes" }) })
  .openapi("NewDisk");
const diskChange = z.strictObject({ name: z.string() }).openapi("DiskChange");
const limit = z.int().nullable().optional();
const limitsBody = z
  .strictObject({
    iops: limit.openapi({ description: "Reads and writes a second; null: as many as it can. Left out, it stays" }),
    bytesPerSecond: limit.openapi({ description: "The same of bytes" }),
  })
  .openapi("DiskLimits", { description: "For operators" });
const undelete = z
  .strictObject({
    as: z.string().optional().openapi({ description: "Another name, where its own was taken meanwhile" }),
  })
  .openapi("Undelete");
const scheduleBody = z
  .strictObject({
    everySeconds: z.int(),
    keep: z
      .int()
      .openapi({ description: "So many of its own snapshots stay; older ones go unless something uses them" }),
  })
  .openapi("Schedule");
const orphanSchema = diskSchema
  .extend({
    since: momentSchema.openapi({ description: "When its last node was released, or it was made" }),
    usedBytes: z.int().optional().openapi({ description: "Allocated to it" }),
  })
  .openapi("OrphanDisk");

const routes = {
  create: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks",
    request: { params: project, body: body(newDisk) },
    responses: ACCEPTED,
  }),
  change: describeRoute("disk:write", {
    method: "patch",
    path: "/v1/projects/{project}/disks/{disk}",
    request: { params, body: body(diskChange) },
    responses: { 200: json("The disk", diskSchema) },
  }),
  limits: describeRoute("disk:write", {
    method: "patch",
    path: "/v1/projects/{project}/disks/{disk}/limits",
    request: { params, body: body(limitsBody) },
    responses: ACCEPTED,
  }),
  undelete: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks/{disk}/undelete",
    request: { params, body: body(undelete) },
    responses: { 200: json("The disk, which is back", diskSchema) },
  }),
  purge: describeRoute("disk:write", {
    method: "post",
    path: "/v1/projects/{project}/disks/{disk}/purge",
    request: { params },
    responses: ACCEPTED,
  }),
  schedule: describeRoute("disk:write", {
    method: "put",
    path: "/v1/projects/{project}/disks/{disk}/schedule",
    request: { params, body: body(scheduleBody) },
    responses: { 200: json("The disk, of which snapshots are taken from now on", diskSchema) },
  }),
  unschedule: describeRoute("disk:write", {
    method: "delete",
    path: "/v1/projects/{project}/disks/{disk}/schedule",
    request: { params },
    responses: { 200: json("The disk, of which none are taken any more", diskSchema) },
  }),
  orphans: describeRoute("disk:read", {
    method: "get",
    path: "/v1/projects/{project}/orphans",
    request: { params: project },
    responses: { 200: json("Disks that no node has, left longest ago first", z.array(orphanSchema)) },
  }),
};

/** How disks come and go. */
export function addDiskLifeRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.create, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await createDisk(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.change, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return c.json(viewDisk(appliance, await renameDisk(appliance, request)), 200);
  });
  api.openapi(routes.limits, async (c) => {
    demand(c.var.caller, "disk:write");
    const request = { ...c.req.valid("param"), change: exact(c.req.valid("json")) };
    return accepted(c, appliance, await limitDisk(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.undelete, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    return c.json(viewDisk(appliance, await undeleteDisk(appliance, request)), 200);
  });
  api.openapi(routes.purge, async (c) =>
    accepted(c, appliance, await purgeDisk(appliance, c.req.valid("param"), c.var.caller.name)),
  );
  api.openapi(routes.schedule, async (c) => {
    const request = { ...c.req.valid("param"), schedule: c.req.valid("json") };
    return c.json(viewDisk(appliance, await scheduleSnapshots(appliance, request)), 200);
  });
  api.openapi(routes.unschedule, async (c) =>
    c.json(viewDisk(appliance, await scheduleSnapshots(appliance, c.req.valid("param"))), 200),
  );
  api.openapi(routes.orphans, async (c) => {
    const orphans = await orphanDisks(appliance, c.req.valid("param").project);
    return c.json(
      orphans.map(({ disk, since, usedBytes }) => ({ ...viewDisk(appliance, disk), since: moment(since), usedBytes })),
      200,
    );
  });
}
