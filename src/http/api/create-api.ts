import { randomUUID } from "node:crypto";
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { ApplianceError } from "../../errors.ts";
import { admit } from "./admission.ts";
import type { Api, ApiEnvironment, ApiParts } from "./api.ts";
import { createAuditTrail } from "./audited.ts";
import { authenticate, type Gate } from "./authenticate.ts";
import { describeInput } from "./check-input.ts";
import { describeProblem, respondProblem } from "./problem.ts";
import { checkRights, routeOf } from "./route.ts";
import { addAccessRoutes } from "./routes/access.ts";
import { addAuditRoutes } from "./routes/audit.ts";
import { addCatalogueRoutes } from "./routes/catalogue.ts";
import { addConsoleRoutes, isTyping } from "./routes/console.ts";
import { addDiskLifeRoutes } from "./routes/disk-life.ts";
import { addDiskRoutes } from "./routes/disks.ts";
import { addImageDownloadRoute } from "./routes/image-download.ts";
import { addImageExchangeRoutes } from "./routes/image-exchange.ts";
import { addImageSharingRoutes } from "./routes/image-sharing.ts";
import { addImageRoutes } from "./routes/images.ts";
import { addNetworkRoutes } from "./routes/network.ts";
import { addNodeImportRoute } from "./routes/node-import.ts";
import { addNodeWorkRoutes } from "./routes/node-work.ts";
import { addNodeRoutes } from "./routes/nodes.ts";
import { addOperationRoutes } from "./routes/operations.ts";
import { addOwnPasswordRoute } from "./routes/own-password.ts";
import { addPoolRoutes } from "./routes/pool.ts";
import { addProjectRoutes } from "./routes/projects.ts";
import { addQuotaRoutes } from "./routes/quotas.ts";
import { addSystemRoutes } from "./routes/system.ts";
import { addTenantNetworkRoutes } from "./routes/tenant-networks.ts";
import { addUploadRoutes, isUpload } from "./routes/uploads.ts";

const BODY_BYTES = 1024 * 1024;
/** Whoever takes longer than that to send a body is asked who they are once more. */
const SLOW_BODY_MS = 5_000;

/** The admin API as an application of requests and answers; `startApi` puts it on sockets. INTERNAL when a route states no right. */
export function createApi(parts: ApiParts, gate: Gate): Api {
  const api: Api = new OpenAPIHono<ApiEnvironment>({
    defaultHook: (result, context) => {
      if (result.success) return;
      const route = routeOf(api, context);
      if (route) throw describeInput(route, result as typeof result & { data: unknown });
    },
  });
  const log = parts.log.child({ component: "api" });
  const trail = createAuditTrail(parts);

  api.use(async (context, next) => {
    const began = performance.now();
    const requestId = randomUUID();
    context.set("requestId", requestId);
    await next();
    await trail.answered(context);
    context.header("X-Request-Id", requestId);
    // an idle connection would keep the server from closing
    if (context.env.stopping?.aborted) context.header("Connection", "close");
    const { method, path } = context.req;
    const ms = Math.round(performance.now() - began);
    const caller = context.get("caller")?.name;
    log.info({ requestId, method, path, status: context.res.status, ms, requestedBy: caller }, "request answered");
  });
  const letIn = async (context: Context<ApiEnvironment>) => {
    const { localCaller, source } = context.env;
    const shown = { authorization: context.req.header("Authorization"), authToken: context.req.header("X-Auth-Token") };
    context.set("caller", localCaller ?? (await authenticate(gate, shown, source)));
  };
  const checkRight = (context: Context<ApiEnvironment>) => {
    const route = routeOf(api, context);
    if (route) admit(parts.appliance, context.var.caller, route, context.req.path);
  };
  api.use(async (context, next) => {
    await letIn(context);
    await trail.asked(context);
    checkRight(context);
    await next();
  });
  const limited = bodyLimit({
    maxSize: BODY_BYTES,
    onError: () => {
      throw new HTTPException(413);
    },
  });
  api.use((context, next) => {
    const { req } = context;
    // what is streamed counts its own bytes, or keeps none
    if (isUpload(req) || isTyping(req)) return next();
    const began = performance.now();
    return limited(context, async () => {
      if (req.method !== "GET") await req.arrayBuffer();
      // they may have lost their rights meanwhile
      if (performance.now() - began > SLOW_BODY_MS) {
        await letIn(context);
        checkRight(context);
      }
      await next();
    });
  });

  api.onError((error, context) => {
    const { requestId } = context.var;
    const problem = describeProblem(error, requestId, context.get("caller"));
    context.set("failure", problem.code);
    if (problem.status === 500) log.error({ requestId, err: error }, "request failed");
    return respondProblem(context, problem);
  });
  api.notFound((context) => {
    const { method, path } = context.req;
    throw new ApplianceError("NOT_FOUND", `nothing answers ${method} ${path}`, {
      details: { remedy: "see /v1/openapi.json" },
    });
  });

  addAccessRoutes(api, parts);
  addOwnPasswordRoute(api, parts, gate);
  addAuditRoutes(api, parts);
  addNodeRoutes(api, parts);
  addNodeImportRoute(api, parts);
  addNodeWorkRoutes(api, parts);
  addConsoleRoutes(api, parts);
  addProjectRoutes(api, parts);
  addImageRoutes(api, parts);
  addUploadRoutes(api, parts);
  addImageSharingRoutes(api, parts);
  addImageDownloadRoute(api, parts);
  addImageExchangeRoutes(api, parts);
  addDiskRoutes(api, parts);
  addDiskLifeRoutes(api, parts);
  addQuotaRoutes(api, parts);
  addOperationRoutes(api, parts);
  addNetworkRoutes(api, parts);
  addTenantNetworkRoutes(api, parts);
  addSystemRoutes(api, parts);
  addPoolRoutes(api, parts);
  addCatalogueRoutes(api, parts);
  checkRights(api);
  return api;
}
