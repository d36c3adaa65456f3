import { z } from "@hono/zod-openapi";
import { holdsIn, seesProject } from "../../../access/caller.ts";
import { shareImage, transferImage, unshareImage } from "../../../operations/edit-image.ts";
import { noSuchProject } from "../../../projects/project-registry.ts";
import { forbidden } from "../admission.ts";
import type { Api, ApiParts } from "../api.ts";
import { describeRoute } from "../route.ts";
import { imageSchema, viewImage } from "../views/image-view.ts";
import { body, json } from "./answers.ts";

const params = z.object({ project: z.string(), image: z.string().openapi({ description: "Name or id" }) });
const sharing = z
  .strictObject({
    projects: z.array(z.string()).default([]),
    public: z.boolean().default(false).openapi({ description: "With all projects that there are and will be" }),
  })
  .openapi("Sharing");
const transfer = z.strictObject({ to: z.string().openapi({ description: "The project that gets it" }) });

const routes = {
  share: describeRoute("image:write", {
    method: "post",
    path: "/v1/projects/{project}/images/{image}/share",
    request: { params, body: body(sharing) },
    responses: { 200: json("The image, shared with these too", imageSchema) },
  }),
  unshare: describeRoute("image:write", {
    method: "post",
    path: "/v1/projects/{project}/images/{image}/unshare",
    request: { params, body: body(sharing) },
    responses: { 200: json("The image, no longer shared with these", imageSchema) },
  }),
  transfer: describeRoute("image:write", {
    method: "post",
    path: "/v1/projects/{project}/images/{image}/transfer",
    request: { params, body: body(transfer.openapi("Transfer")) },
    responses: { 200: json("The image, in its new project", imageSchema) },
  }),
};

/** Who else may clone an image, and whose it is. */
export function addImageSharingRoutes(api: Api, { appliance }: ApiParts): void {
  api.openapi(routes.share, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return c.json(
      viewImage(
        appliance,
        await shareImage(appliance, request, (name) => seesProject(c.var.caller, name)),
        request.project,
      ),
      200,
    );
  });
  api.openapi(routes.unshare, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    return c.json(viewImage(appliance, await unshareImage(appliance, request), request.project), 200);
  });
  api.openapi(routes.transfer, async (c) => {
    const request = { ...c.req.valid("json"), ...c.req.valid("param") };
    if (!seesProject(c.var.caller, request.to)) throw noSuchProject(request.to);
    if (!holdsIn(c.var.caller, "image:write", request.to)) throw forbidden(c.var.caller, "image:write");
    return c.json(viewImage(appliance, await transferImage(appliance, request), request.to), 200);
  });
}
