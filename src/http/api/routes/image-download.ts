import { z } from "@hono/zod-openapi";
import { ApplianceError } from "../../../errors.ts";
import { wholeImage } from "../../../operations/cloneable-image.ts";
import { layoutImage, readImage } from "../../../operations/read-image.ts";
import { answerAsset } from "../../boot/asset-answer.ts";
import type { ByteRange } from "../../boot/byte-ranges.ts";
import { formatHttpDate } from "../../boot/validators.ts";
import type { Api, ApiParts } from "../api.ts";
import { contentBody } from "../content-body.ts";
import { describeRoute } from "../route.ts";

const params = z.object({ project: z.string(), image: z.string().openapi({ description: "Name or id" }) });
const query = z.strictObject({
  format: z.enum(["raw", "qcow2"]).default("raw"),
  compression: z.enum(["none", "zst"]).default("none").openapi({ description: "zst: of raw alone, and without Range" }),
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
    if (packed && format !== "raw") {
      throw new ApplianceError("INVALID", `compression: ${format} is not packed on its way`, {
        details: { field: "compression", value: compression, remedy: "leave it out, pack raw, or export the image" },
      });
    }
    const gone = new AbortController();
    const signals = [c.req.raw.signal, gone.signal, ...(c.env.stopping ? [c.env.stopping] : [])];
    const signal = AbortSignal.any(signals);
    const layout = format === "qcow2" ? await layoutImage(appliance, image, signal) : undefined;
    const nowSeconds = Math.floor(appliance.clock.now() / 1000);
    const state = {
      etag: `"${image.id}.${format}.${layout?.digest ?? compression}"`,
      // a file that may be laid out anew has no date that tells it from what it was
      modifiedSeconds: layout ? nowSeconds : Math.floor(image.createdAt / 1000),
      sizeBytes: layout?.sizeBytes ?? image.sizeBytes,
      type: packed ? "application/zstd" : "application/octet-stream",
    };
    const { method } = c.req;
    const header = (one: string) => (packed && one.toLowerCase() === "range" ? undefined : c.req.header(one));
    const { status, headers, parts } = answerAsset({ method, header, nowSeconds }, state);
    const file = `${image.name}.${format}${packed ? ".zst" : ""}`;
    headers["Content-Disposition"] = `attachment; filename="${file}"`;
    if (packed) {
      // how long it becomes is known in the end
      delete headers["Content-Length"];
      headers["Accept-Ranges"] = "none";
    } else if (!layout && image.sha256 !== undefined) {
      headers["Repr-Digest"] = `sha-256=:${Buffer.from(image.sha256, "hex").toString("base64")}:`;
    }
    if (layout) delete headers["Last-Modified"];
    else headers["Last-Modified"] = formatHttpDate(state.modifiedSeconds);
    if (method === "HEAD" || parts.length === 0) return new Response(null, { status, headers });

    const open = (range: ByteRange) => {
      const request = layout ? { range, layout: layout.digest } : { range };
      return readImage(appliance, image, packed ? { compression: "zst" } : request, c.var.caller.name, signal);
    };
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
