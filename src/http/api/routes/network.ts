import { z } from "@hono/zod-openapi";
import type { LeaseRecord } from "../../../leases/lease.ts";
import type { Api, ApiParts } from "../api.ts";
import { describeRoute } from "../route.ts";
import { discoveredSchema, leaseSchema, viewDiscovered, viewLease } from "../views/network-view.ts";
import { json } from "./answers.ts";

const routes = {
  leases: describeRoute("network:read", {
    method: "get",
    path: "/v1/leases",
    responses: { 200: json("Addresses given out, pinned or quarantined", z.array(leaseSchema)) },
  }),
  discovered: describeRoute("network:read", {
    method: "get",
    path: "/v1/discovered",
    responses: { 200: json("Machines that nobody registered, the latest first", z.array(discoveredSchema)) },
  }),
};

/** What is seen on the provisioning networks. */
export function addNetworkRoutes(api: Api, { appliance, discovered }: ApiParts): void {
  const leases = appliance.records.collection<LeaseRecord>("leases");
  api.openapi(routes.leases, (c) =>
    c.json(
      [...leases.values()].map((lease) => viewLease(appliance.nodes, lease)),
      200,
    ),
  );
  api.openapi(routes.discovered, (c) => c.json(discovered.list().map(viewDiscovered), 200));
}
