import { z } from "@hono/zod-openapi";
import { runDoctor } from "../../../operations/doctor/doctor.ts";
import { systemStatus } from "../../../operations/status.ts";
import type { Api, ApiParts } from "../api.ts";
import { describeRoute } from "../route.ts";
import { findingSchema, statusSchema, viewFinding, viewStatus } from "../views/system-view.ts";
import { json } from "./answers.ts";

const routes = {
  status: describeRoute("system:read", {
    method: "get",
    path: "/v1/system",
    responses: { 200: json("The appliance at a glance", statusSchema) },
  }),
  doctor: describeRoute("system:read", {
    method: "get",
    path: "/v1/system/doctor",
    responses: { 200: json("What is in order and what is not, each with its remedy", z.array(findingSchema)) },
  }),
  openapi: describeRoute(
    "self:read",
    {
      method: "get",
      path: "/v1/openapi.json",
      responses: { 200: json("This description", z.record(z.string(), z.unknown())) },
    },
    { forAll: true },
  ),
};

/** The appliance itself. */
export function addSystemRoutes(api: Api, { appliance, configFile, discovered, version }: ApiParts): void {
  api.openapi(routes.status, async (c) => {
    const self = {
      version,
      uptimeSeconds: Math.floor(process.uptime()),
      discovered: discovered.list().length,
    };
    return c.json(viewStatus(appliance, await systemStatus(appliance), self), 200);
  });
  api.openapi(routes.doctor, async (c) => c.json((await runDoctor({ appliance, configFile })).map(viewFinding), 200));
  api.openapi(routes.openapi, (c) => {
    const info = { title: "Ingot admin API", version };
    return c.json({ ...api.getOpenAPI31Document({ openapi: "3.1.0", info }) } as Record<string, unknown>, 200);
  });
}
