import { Readable } from "node:stream";
import { z } from "@hono/zod-openapi";
import { ApplianceError } from "../../../errors.ts";
import { COMPRESSIONS, IMAGE_FORMATS } from "../../../values/image-format.ts";
import { sha256Field } from "../../../values/zod.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { momentSchema } from "../views/text.ts";
import { uploadSchema, viewUpload } from "../views/upload-view.ts";
import { ACCEPTED, accepted, json } from "./answers.ts";

const project = z.object({ project: z.string() });
const params = project.extend({ image: z.string().openapi({ description: "Name that the image will have" }) });

const query = z.strictObject({
  format: z.enum(IMAGE_FORMATS).openapi({ description: "Stated, never probed" }),
  compression: z.enum(COMPRESSIONS).default("none").openapi({ description: "On top of the format; never probed" }),
  sha256: sha256Field.optional().openapi({ description: "Of the file as it is sent; checked before it is imported" }),
  modifiedAt: momentSchema
    .optional()
    .openapi({ description: "When the file was last changed: its upload does not go on with another state of it" }),
  phonesHome: z
    .enum(["true", "false"])
    .default("false")
    .openapi({ description: "Whether its OS reports that it is up" }),
});

const headers = z.object({
  "content-range": z.string().optional().openapi({
    description:
      "`bytes FIRST-LAST/LENGTH` of this piece, which must follow what has arrived; `bytes */LENGTH`, with no body, asks how far it is. Without it the body is the whole file, of a stated length or sent in chunks",
  }),
});

const routes = {
  put: describeRoute("image:write", {
    method: "put",
    path: "/v1/projects/{project}/images/{image}/content",
    request: {
      params,
      query,
      headers,
      body: { content: { "application/octet-stream": { schema: z.string().openapi({ format: "binary" }) } } },
    },
    responses: { 200: json("It is not whole yet: how far it is", uploadSchema), ...ACCEPTED },
  }),
  list: describeRoute("image:read", {
    method: "get",
    path: "/v1/projects/{project}/uploads",
    request: { params: project },
    responses: { 200: json("Uploads that are not whole yet, oldest first", z.array(uploadSchema)) },
  }),
  get: describeRoute("image:read", {
    method: "get",
    path: "/v1/projects/{project}/uploads/{image}",
    request: { params },
    responses: { 200: json("How far it is", uploadSchema) },
  }),
  remove: describeRoute("image:write", {
    method: "delete",
    path: "/v1/projects/{project}/uploads/{image}",
    request: { params },
    responses: { 204: { description: "Given up" } },
  }),
};

/** Images that are uploaded, in one piece or many. */
export function addUploadRoutes(api: Api, { uploads, appliance }: ApiParts): void {
  api.openapi(routes.put, async (c) => {
    const { project, image } = c.req.valid("param");
    const { phonesHome, ...stated } = exact(c.req.valid("query"));
    const body = (c.req.raw.body ?? Readable.from([])) as AsyncIterable<Uint8Array>;
    const described = { ...stated, project, name: image, phonesHome: phonesHome === "true" };
    const by = c.var.caller.name;
    if (isOfUnknownLength(c.req)) {
      c.env.bearSilence?.();
      await uploads.begin(described, by);
      return accepted(c, appliance, await uploads.receiveAll(project, image, body, by));
    }
    const piece = parsePiece(c.req.header("content-range"), c.req.header("content-length"));
    const request = { ...described, sizeBytes: piece.sizeBytes };
    const importing = piece.from === undefined ? uploads.importOf(request) : undefined;
    if (importing) return accepted(c, appliance, importing);
    let state = await uploads.begin(request, by);
    if (piece.from !== undefined) {
      state = await uploads.receive(project, image, { from: piece.from, body });
    }
    if (state.receivedBytes < piece.sizeBytes) return c.json(viewUpload(state), 200);
    return accepted(c, appliance, await uploads.finish(project, image, by));
  });
  api.openapi(routes.list, async (c) =>
    c.json((await uploads.list(c.req.valid("param").project)).map(viewUpload), 200),
  );
  api.openapi(routes.get, async (c) => {
    const { project, image } = c.req.valid("param");
    return c.json(viewUpload(await uploads.get(project, image)), 200);
  });
  api.openapi(routes.remove, async (c) => {
    const { project, image } = c.req.valid("param");
    await uploads.remove(project, image);
    return c.body(null, 204);
  });
}

/** Whether a request sends the content of an image. */
export function isUpload({ method, path }: { method: string; path: string }): boolean {
  return method === "PUT" && /^\/v1\/projects\/[^/]+\/images\/[^/]+\/content$/.test(path);
}

/** Whether its end alone will tell how long the file is (RFC 9112 7.1). */
function isOfUnknownLength(request: { header(name: string): string | undefined }): boolean {
  return request.header("content-range") === undefined && request.header("transfer-encoding") !== undefined;
}

/** How long the whole file is, and where the body begins in it; no `from`: the caller only asks. */
function parsePiece(range: string | undefined, length: string | undefined): { sizeBytes: number; from?: number } {
  if (range === undefined) {
    if (length === undefined)
      throw wrong("Content-Length", length, "say how long the file is or which part of it this is, or send it chunked");
    return checkLength({ sizeBytes: Number(length), from: 0 });
  }
  const asked = /^bytes \*\/(\d{1,15})$/.exec(range);
  if (asked) return checkLength({ sizeBytes: Number(asked[1]) });
  const [, first, last, whole] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(range)?.map(Number) ?? [];
  if (first === undefined || last === undefined || whole === undefined || first > last || last >= whole) {
    throw wrong("Content-Range", range, "write it like bytes 0-1048575/73400320, or bytes */73400320");
  }
  if (length !== undefined && Number(length) !== last - first + 1) {
    throw wrong("Content-Range", range, `the body has ${length} bytes: state the range that it is`);
  }
  return { sizeBytes: whole, from: first };
}

function checkLength<T extends { sizeBytes: number }>(piece: T): T {
  if (piece.sizeBytes > 0) return piece;
  throw wrong("Content-Length", piece.sizeBytes, "an image has content: see whether the file is the right one");
}

function wrong(field: string, value: unknown, remedy: string): ApplianceError {
  return new ApplianceError("INVALID", `${field}: it can't be so`, { details: { field, value, remedy } });
}
