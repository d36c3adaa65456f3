import { z } from "@hono/zod-openapi";
import type { Appliance } from "../../../operations/appliance.ts";
import { isAnswer, type NicNetwork, type NodeStanding, type Trouble } from "../../../operations/compare-nodes.ts";
import { disagreements } from "../../../operations/node-drift.ts";

const networksSchema = z.array(
  z.object({ nic: z.string(), network: z.string(), channel: z.enum(["native", "tagged"]) }),
);
const troubleSchema = z.object({ trouble: z.string(), remedy: z.string().optional() });

/** A node as records, isolator, target server and BMC have it, side by side. */
export const nodeStandingSchema = z
  .object({
    node: z.string(),
    project: z.string(),
    busy: z.boolean().openapi({ description: "An operation is at it: they need not agree" }),
    records: z.object({
      disk: z.string().optional().openapi({ description: "That it boots" }),
      owner: z
        .string()
        .optional()
        .openapi({ description: "The project that has it at the isolator, as that calls it" }),
      networks: networksSchema,
    }),
    isolator: z
      .union([z.object({ owner: z.string().optional(), networks: networksSchema }), troubleSchema])
      .optional()
      .openapi({ description: "Absent where nodes are not isolated, or it is not known where this one is cabled to" }),
    target: z.union([z.enum(["served", "not served", "none"]), troubleSchema]),
    power: z
      .union([z.enum(["on", "off"]), troubleSchema])
      .optional()
      .openapi({ description: "Absent where nobody may be asked: by hand, and through HIL" }),
    disagrees: z.array(z.string()).openapi({ description: "Kinds of drift" }),
  })
  .openapi("NodeStanding");

export function viewNodeStanding(appliance: Appliance, standing: NodeStanding): z.infer<typeof nodeStandingSchema> {
  const { node, busy, entry, owner, networks, isolator, target, power } = standing;
  const disk = entry && (appliance.disks.find(entry.disk)?.name ?? entry.disk);
  return {
    node: node.name,
    project: node.project,
    busy,
    records: { ...(disk === undefined ? {} : { disk }), ...(owner === undefined ? {} : { owner }), networks },
    ...(isolator === undefined
      ? {}
      : { isolator: isAnswer(isolator) ? viewIsolator(isolator) : viewTrouble(isolator) }),
    target: isAnswer(target) ? (target ? "served" : entry ? "not served" : "none") : viewTrouble(target),
    ...(power === undefined ? {} : { power: isAnswer(power) ? power : viewTrouble(power) }),
    disagrees: [...new Set(disagreements(appliance, standing).map(({ kind }) => kind))],
  };
}

function viewIsolator({ owner, networks }: { owner: string | undefined; networks: NicNetwork[] }) {
  return { ...(owner === undefined ? {} : { owner }), networks };
}

function viewTrouble({ trouble: { message, details } }: Trouble): z.infer<typeof troubleSchema> {
  return { trouble: message, ...(details.remedy === undefined ? {} : { remedy: details.remedy }) };
}
