import { z } from "@hono/zod-openapi";
import { copyImage } from "../../../operations/copy-image.ts";
import { editImage } from "../../../operations/edit-image.ts";
import { flatten } from "../../../operations/flatten.ts";
import { type ImportImageRequest, importImage } from "../../../operations/import-image.ts";
import { removeImage } from "../../../operations/remove-image.ts";
import { COMPRESSIONS, IMAGE_FORMATS } from "../../../values/image-format.ts";
import { sha256Field } from "../../../values/zod.ts";
import { demand } from "../admission.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { imageSchema, viewImage } from "../views/image-view.ts";
import { relativeSchema, viewLineage } from "../views/lineage-view.ts";
import { ACCEPTED, accepted, body, json } from "./answers.ts";

const project = z.object({ project: z.string() });
const params = project.extend({ image: z.string().openapi({ description: "Name or id" }) });

const newImage = z
  .strictObject({
    name: z.string(),
    path: z.string().optional().openapi({ description: "On the appliance, inside one of pool.importDirectories" }),
    url: z.string().max(4096).optional().openapi({ description: "By http or https; or a path, one of both" }),
    format: z.enum(IMAGE_FORMATS).openapi({ description: "Stated, never probed" }),
    compression: z.enum(COMPRESSIONS).default("none").openapi({ description: "On top of the format; never probed" }),
    sha256: sha256Field
      .optional()
      .openapi({ description: "Of the file as it is, packed or not; checked before anything else" }),
    phonesHome: z.boolean().default(false).openapi({ description: "Whether its OS reports that it is up" }),
  })
  .refine(({ path, url }) => (path === undefined) !== (url === undefined), {
    path: ["path"],
    error: "name a path or a URL, one of both",
  })
  .openapi("NewImage");

const imageEdit = z
  .strictObject({
    name: z.string().optional(),
    description: z.string().optional().openapi({ description: "One line; empty for none" }),
    labels: z
      .record(z.string(), z.string().nullable())
      .optional()
      .openapi({ description: "Those to set; null takes one away, the others stay" }),
    retired: z.boolean().optional().openapi({ description: "Nothing new is made of a retired image" }),
  })
  .openapi("ImageEdit");
const imageCopy = z
  .strictObject({ name: z.string().openapi({ description: "Of the new image" }) })
  .openapi("ImageCopy");

const routes = {
  list: describeRoute("image:read", {
    method: "get",
    path: "/v1/projects/{project}/images",
    request: { params: project },
    responses: {
      200: json("The project's images, by name, and those that others share with it", z.array(imageSchema)),
    },
  }),
  import: describeRoute("image:write", {
    method: "post",
    path: "/v1/projects/{project}/images",
    request: { params: project, body: body(newImage) },
    responses: ACCEPTED,
  }),
  get: describeRoute("image:read", {
    method: "get",
    path: "/v1/projects/{project}/images/{image}",
    request: { params },
    responses: { 200: json("The image", imageSchema) },
  }),
  edit: describeRoute("image:write", {
    method: "patch",
    path: "/v1/projects/{project}/images/{image}",
    request: { params, body: body(imageEdit) },
    responses: { 200: json("The image, changed", imageSchema) },
  }),
  copy: describeRoute("image:write", {
    method: "post",
    path: "/v1/projects/{project}/images/{image}/copy",
    request: { params, body: body(imageCopy) },
    responses: ACCEPTED,
  }),
  lineage: describeRoute("image:read", {
    method: "get",
    path: "/v1/projects/{project}/lineage",
    request: { params: project },
    responses: { 200: json("Images and disks, each right below what it came from", z.array(relativeSchema)) },
  }),
  flatten: describeRoute("image:write", {
    method: "post",
    path: "/v1/projects/{project}/images/{image}/flatten",
    request: { params },
    responses: ACCEPTED,
  }),
  remove: describeRoute("image:write", {
    method: "delete",
    path: "/v1/projects/{project}/images/{image}",
    request: { params },
    responses: ACCEPTED,
  }),
};

/** Images of a project. */
export function addImageRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.list, (c) =>
    c.json(
      appliance.images
        .listUsable(c.req.valid("param").project)
        .map((image) => viewImage(appliance, image, c.req.valid("param").project)),
      200,
    ),
  );
  api.openapi(routes.import, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    // what lies on the appliance is nobody's in particular
    if (request.path !== undefined) demand(c.var.caller, "image:exchange");
    return accepted(c, appliance, await importImage(appliance, request as ImportImageRequest, c.var.caller.name));
  });
  api.openapi(routes.get, (c) => {
    const { project, image } = c.req.valid("param");
    return c.json(viewImage(appliance, appliance.images.getUsable(project, image), project), 200);
  });
  api.openapi(routes.edit, async (c) => {
    const request = exact({ ...c.req.valid("json"), ...c.req.valid("param") });
    return c.json(viewImage(appliance, await editImage(appliance, request), request.project), 200);
  });
  api.openapi(routes.copy, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return accepted(c, appliance, await copyImage(appliance, request, c.var.caller.name));
  });
  api.openapi(routes.lineage, (c) => c.json(viewLineage(appliance, c.req.valid("param").project), 200));
  api.openapi(routes.flatten, async (c) => {
    const { project, image } = c.req.valid("param");
    return accepted(c, appliance, await flatten(appliance, { project, kind: "image", name: image }, c.var.caller.name));
  });
  api.openapi(routes.remove, async (c) =>
    accepted(c, appliance, await removeImage(appliance, c.req.valid("param"), c.var.caller.name)),
  );
}
