import { z } from "@hono/zod-openapi";
import { importNodes } from "../../../operations/import-nodes.ts";
import { DEFAULT_PROJECT } from "../../../projects/project.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import { body, json } from "./answers.ts";

const importBody = z
  .strictObject({
    from: z.literal("hil").default("hil"),
    nodes: z
      .array(z.string().regex(/^[^\s/]{1,255}$/, "write the name as HIL shows it"))
      .default([])
      .openapi({ description: "By HIL's names; all that it shows, when there is none" }),
    bootNic: z
      .string()
      .min(1)
      .optional()
      .openapi({ description: "HIL's label of the NIC that they boot from; the first" }),
    network: z.string().openapi({ description: "The provisioning network of that NIC" }),
    firmware: z.enum(["bios", "uefi"]),
    loader: z.enum(["auto", "ours"]).default("auto"),
    power: z.enum(["hil", "manual"]).default("hil").openapi({ description: "Through HIL's OBM, or by hand" }),
    project: z.string().default(DEFAULT_PROJECT).openapi({ description: "The owner of those that nobody has in HIL" }),
    dryRun: z.boolean().default(false).openapi({ description: "Only say what would become of each" }),
  })
  .openapi("NodeImport");

const importedSchema = z
  .object({
    isolatedAs: z.string().openapi({ description: "HIL's name" }),
    outcome: z.enum(["new", "cabled", "known", "refused"]),
    node: z.string().optional().openapi({ description: "Its name here" }),
    project: z.string().optional(),
    bootNic: z.object({ label: z.string(), mac: z.string() }).optional(),
    reason: z.string().optional(),
  })
  .openapi("ImportedNode");

const route = describeRoute("node:write", {
  method: "post",
  path: "/v1/nodes/import",
  request: { body: body(importBody) },
  responses: { 200: json("What became of each, or would, by name", z.array(importedSchema)) },
});

/** Nodes that HIL knows. */
export function addNodeImportRoute(api: Api, { appliance }: ApiParts): void {
  api.openapi(route, async (c) => {
    const { from: _, ...request } = exact(c.req.valid("json"));
    return c.json(await importNodes(appliance, request, c.var.caller.name), 200);
  });
}
