import { Hono } from "hono";
import { toApplianceError } from "../../errors.ts";
import { Quota } from "../../net/quota.ts";
import { type AssetFetchParts, assetFetches } from "./asset-fetches.ts";
import { type ReadyRouteParts, readyRoute } from "./ready-route.ts";
import { oneAtATime, quotaPerAddress } from "./request-limits.ts";
import { type ScriptRouteParts, scriptRoute } from "./script-route.ts";
import type { BootHttp } from "./source-address.ts";

/** What the HTTP routes of one boot network are made of. */
export type BootAppParts = ScriptRouteParts &
  ReadyRouteParts &
  AssetFetchParts & {
    /** Serves the files below /assets/. */
    assets: Hono<BootHttp>;
    /** Scripts and phone-homes that one address may ask for in a stretch of time. */
    requestsPerAddress?: { most: number; windowMs: number };
  };

/** A node that retries in its script asks every few seconds. */
const REQUESTS_PER_ADDRESS = { most: 100, windowMs: 10_000 };

/** The routes of the boot server of one network. Errors are plain text: iPXE, wget and people on a console read them. */
export function bootApp(parts: BootAppParts): Hono<BootHttp> {
  const app = new Hono<BootHttp>();
  app.use(oneAtATime());
  app.use("/boot/*", quotaPerAddress(new Quota(parts.requestsPerAddress ?? REQUESTS_PER_ADDRESS), parts.clock));
  app.route("/boot", scriptRoute(parts));
  app.route("/boot", readyRoute(parts));
  app.use("/assets/*", assetFetches(parts));
  app.route("/assets", parts.assets);
  app.notFound((context) => context.text("there is nothing here\n", 404));
  app.onError((cause, context) => {
    const error = toApplianceError(cause);
    if (error.kind === "invalid") return context.text(`${error.message}\n`, 400);
    parts.log.error({ err: error, path: context.req.path }, "boot request failed");
    return context.text("the appliance failed to answer; its log says why\n", 500);
  });
  return app;
}
