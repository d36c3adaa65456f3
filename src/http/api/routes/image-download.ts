import { z } from "@hono/zod-openapi";
import { wholeImage } from "../../../operations/cloneable-image.ts";
import { readImage } from "../../../operations/read-image.ts";
import { answerAsset } from "../../boot/asset-answer.ts";
import { formatHttpDate } from "../../boot/validators.ts";
import type { Api, ApiParts } from "../api.ts";
import { contentBody } from "../content-body.ts";
import { describeRoute } from "../route.ts";

const params = z.object({ project: z.string(), image: z.string().openapi({ description: "Name or id" }) });
const query = z.strictObject({
  format: z.enum(["raw"]).default("raw"),
  compression: z.enum(["none", "zst"]).default("none").openapi({ description: "zst: without Range" }),
});

const download = describeRoute("image:read", {
  method: "get",
  path: "/v1/projects/{project}/images/{image}/content",
  request: { params, query },
  responses: {
    200: {
      description: "The content; with Repr-Digest (RFC 9530) where its SHA-256 is known",
      content: { "application/octet-stream": { schema: z.string().openapi({ format: "binary" }) } },
    },
    206: { description: "The bytes that Range asked for (RFC 9110 14)" },
    304: { description: "As the client has it" },
    416: { description: "It has no such bytes" },
  },
});

/** The content of images, on its way out. */
export function addImageDownloadRoute(api: Api, { appliance, log }: ApiParts): void {
  api.openapi(download, async (c) => {
    const { project, image: name } = c.req.valid("param");
    const { format, compression } = c.req.valid("query");
    const image = wholeImage(appliance, project, name);
    const packed = compression === "zst";
    const file = `${image.name}.${format}${packed ? ".zst" : ""}`;
    const state = {
      etag: `"${image.id}.${format}.${compression}"`,
      modifiedSeconds: Math.floor(image.createdAt / 1000),
      sizeBytes: image.sizeBytes,
      type: packed ? "application/zstd" : "application/octet-stream",
    };
    const { method } = c.req;
    const header = (one: string) => (packed && one.toLowerCase() === "range" ? undefined : c.req.header(one));
    const nowSeconds = Math.floor(appliance.clock.now() / 1000);
    const { status, headers, parts } = answerAsset({ method, header, nowSeconds }, state);
    headers["Content-Disposition"] = `attachment; filename="${file}"`;
    if (packed) {
      // how long it becomes is known in the end
      delete headers["Content-Length"];
      headers["Accept-Ranges"] = "none";
    } else if (image.sha256 !== undefined) {
      headers["Repr-Digest"] = `sha-256=:${Buffer.from(image.sha256, "hex").toString("base64")}:`;
    }
    headers["Last-Modified"] = formatHttpDate(state.modifiedSeconds);
    if (method === "HEAD" || parts.length === 0) return new Response(null, { status, headers });

    const gone = new AbortController();
    const signals = [c.req.raw.signal, gone.signal, ...(c.env.stopping ? [c.env.stopping] : [])];
    const signal = AbortSignal.any(signals);
    const open = (range: { first: number; last: number }) =>
      readImage(appliance, image, packed ? { compression: "zst" } : { range }, c.var.caller.name, signal);
    const range = parts.find((part) => typeof part !== "string");
    const first = range && (await open(range));
    const cutOff = (why: unknown) => {
      log.warn({ component: "api", image: image.id, requestId: c.var.requestId, err: why }, "download broke off");
      gone.abort(why);
      c.env.cutOff?.();
      return c.env.cutOff !== undefined;
    };
    return new Response(contentBody({ parts, open, first, cutOff }), { status, headers });
  });
}
