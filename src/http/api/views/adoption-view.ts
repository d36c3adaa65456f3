import { z } from "@hono/zod-openapi";
import type { Candidate } from "../../../operations/adoption.ts";

/** One thing that differs between pool and records. */
export const candidateSchema = z
  .object({
    kind: z.enum(["image", "disk"]),
    id: z.string(),
    name: z.string(),
    sizeBytes: z.int(),
    standing: z.enum(["lost", "gone", "living", "undescribed", "taken", "differs"]).openapi({
      description:
        "lost: ours, without a record; gone, living: of another appliance; undescribed: nobody's; taken: on record here, and another's by its description; differs: described otherwise than on record",
    }),
    appliance: z.string().optional().openapi({ description: "Id of the appliance that it belongs to" }),
    node: z.string().optional().openapi({ description: "Name of the node that it was attached to there" }),
    adopted: z.boolean().openapi({ description: "Whether it is adopted under this choice" }),
  })
  .openapi("AdoptionCandidate");

/** A candidate as the API shows it. */
export function viewCandidate(one: Candidate): z.infer<typeof candidateSchema> {
  return one;
}
