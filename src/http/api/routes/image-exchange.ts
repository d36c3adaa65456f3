import { z } from "@hono/zod-openapi";
import { exportImage } from "../../../operations/export-image.ts";
import { importIncrement } from "../../../operations/import-increment.ts";
import { importRbd } from "../../../operations/import-rbd.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { ACCEPTED, accepted, body } from "./answers.ts";

const project = z.object({ project: z.string() });
const params = project.extend({ image: z.string().openapi({ description: "Name or id" }) });

const exportBody = z
  .union([
    z.strictObject({
      to: z
        .string()
        .startsWith("/", "write the absolute path, from / on")
        .openapi({ description: "Directory on the appliance, inside one of pool.exportDirectories" }),
      format: z.enum(["raw", "qcow2"]).default("raw"),
      compression: z.enum(["none", "zst"]).default("none"),
      since: z.string().optional().openapi({
        description: "Write only what changed since this image, as `rbd export-diff` does, whatever the format",
      }),
    }),
    z.strictObject({ rbd: z.string().openapi({ description: "POOL/IMAGE, which must not be there" }) }),
  ])
  .openapi("Export");
const increment = z
  .strictObject({
    name: z.string(),
    path: z
      .string()
      .openapi({ description: "On the appliance, inside one of pool.importDirectories; its manifest beside it" }),
    onto: z.string().openapi({ description: "The image that it was made from, by its name here" }),
  })
  .openapi("Increment");
const adoption = z
  .strictObject({
    name: z.string(),
    source: z.string().openapi({ description: "POOL/IMAGE as it is now, or POOL/IMAGE@SNAPSHOT" }),
    phonesHome: z.boolean().default(false).openapi({ description: "Whether its OS reports that it is up" }),
  })
  .openapi("RbdImport");

const routes = {
  export: describeRoute("image:exchange", {
    method: "post",
    path: "/v1/projects/{project}/images/{image}/export",
    request: { params, body: body(exportBody) },
    responses: ACCEPTED,
  }),
  increment: describeRoute("image:exchange", {
    method: "post",
    path: "/v1/projects/{project}/increments",
    request: { params: project, body: body(increment) },
    responses: ACCEPTED,
  }),
  adopt: describeRoute("image:exchange", {
    method: "post",
    path: "/v1/projects/{project}/rbd-imports",
    request: { params: project, body: body(adoption) },
    responses: ACCEPTED,
  }),
};

/** Images to and from places that are not the appliance's own: its files, others' pools. */
export function addImageExchangeRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.export, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    return accepted(c, appliance, await exportImage(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.increment, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await importIncrement(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.adopt, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await importRbd(appliance, request, c.var.caller.name));
  });
}
