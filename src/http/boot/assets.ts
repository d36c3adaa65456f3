import { extname } from "node:path";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Context, Hono } from "hono";
import { systemClock } from "../../clock.ts";
import { isApplianceError } from "../../errors.ts";
import type { ConfinedFile } from "../../net/confined-file.ts";
import { SharedFiles } from "../../net/shared-files.ts";
import { answerAsset } from "./asset-answer.ts";
import { sendParts } from "./send-parts.ts";
import type { BootHttp } from "./source-address.ts";
import { validatorsOf } from "./validators.ts";

/** What people may want to read in a browser; all else is bytes. */
const TYPES: Record<string, string> = {
  ".cfg": "text/plain; charset=utf-8",
  ".efi": "application/efi",
  ".ipxe": "text/plain; charset=utf-8",
  ".json": "application/json",
  ".txt": "text/plain; charset=utf-8",
  ".yaml": "text/plain; charset=utf-8",
};
const BYTES = "application/octet-stream";

/** Answers of refused names; the paths and errors behind them are not for the network. */
const REFUSALS = {
  INVALID: [400, "this can't be the name of a file here\n"],
  FORBIDDEN: [403, "this file is not served\n"],
  NOT_FOUND: [404, "there is no such file\n"],
} as const;

/** Within that time, a client has to take 64 KiB: the slowest link of any use brings ten times as much. */
const PIECE_MS = 60_000;

/**
 * GET and HEAD of the files below `root`: conditional requests, byte ranges and
 * multipart/byteranges (RFC 9110 13 to 15). Mount it where the files shall be.
 * A client that takes longer than `pieceMs` for 64 KiB is cut off.
 */
export function assetsRoute(root: string, pieceMs = PIECE_MS): Hono<BootHttp> {
  const app = new Hono<BootHttp>();
  const files = new SharedFiles(root, systemClock);
  app.get("/:name{.+}", async (context) => {
    const file = await files.open(context.req.param("name"));
    try {
      return await answer(context, file, pieceMs);
    } finally {
      await file.release();
    }
  });
  app.all("/*", (context) => context.text("only GET and HEAD\n", 405, { Allow: "GET, HEAD" }));
  app.onError((error, context) => {
    if (!isApplianceError(error) || !(error.code in REFUSALS)) throw error;
    const [status, text] = REFUSALS[error.code as keyof typeof REFUSALS];
    return context.text(text, status);
  });
  return app;
}

async function answer(context: Context<BootHttp>, { handle, stats }: ConfinedFile, pieceMs: number): Promise<Response> {
  const { method } = context.req;
  const { status, headers, parts } = answerAsset(
    { method, header: (name) => context.req.header(name), nowSeconds: Math.floor(Date.now() / 1000) },
    {
      ...validatorsOf(stats),
      sizeBytes: Number(stats.size),
      type: TYPES[extname(context.req.path).toLowerCase()] ?? BYTES,
    },
  );
  if (method === "HEAD" || parts.length === 0) return context.body(null, status, headers);
  const { outgoing } = context.env;
  outgoing.statusCode = status;
  outgoing.setHeaders(new Map(Object.entries(headers)));
  // A client that goes away is no error; and once the header is out, a closed connection is all that can be told.
  await sendParts(handle, parts, outgoing, pieceMs).catch(() => outgoing.destroy());
  return RESPONSE_ALREADY_SENT;
}
