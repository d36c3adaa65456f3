import { z } from "@hono/zod-openapi";
import type { Tenure } from "../../../audit/tenure.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { moment, momentIfAny, momentSchema } from "./text.ts";

/** Who had a node or a disk, from when to when. */
export const tenureSchema = z
  .object({
    kind: z.enum(["node", "disk"]),
    project: z.string(),
    node: z.string().optional().openapi({ description: "Its name, or its id where it is gone" }),
    disk: z.string().openapi({ description: "Id" }),
    diskName: z.string().optional(),
    mac: z.string().optional(),
    network: z.string().optional(),
    address: z.string().optional(),
    sizeBytes: z.int().optional(),
    requestedBy: z.string().optional(),
    operation: z.string().optional(),
    since: momentSchema,
    until: momentSchema.optional().openapi({ description: "Absent while it lasts" }),
  })
  .openapi("Tenure");

export const usageSchema = z
  .object({
    month: z.string(),
    project: z.string(),
    nodeHours: z.number(),
    gibHours: z.number().openapi({ description: "Of disks, as nodes see them" }),
  })
  .openapi("Usage");

/** A tenure as the API shows it. */
export function viewTenure({ nodes, disks }: Appliance, tenure: Tenure): z.infer<typeof tenureSchema> {
  const { kind, project, disk } = tenure;
  const span = { since: moment(tenure.since), until: momentIfAny(tenure.until) };
  if (tenure.kind === "disk") {
    const node = tenure.node && (nodes.find(tenure.node)?.name ?? tenure.node);
    return { kind, project, node, disk, diskName: tenure.diskName, sizeBytes: tenure.sizeBytes, ...span };
  }
  const { nodeName: node, mac, network, address, requestedBy, operation } = tenure;
  const diskName = disks.find(disk)?.name;
  return { kind, project, node, disk, diskName, mac, network, address, requestedBy, operation, ...span };
}
