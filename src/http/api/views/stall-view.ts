import { z } from "@hono/zod-openapi";
import { BOOT_STAGES } from "../../../boot/boot-event.ts";
import { STALL_KINDS, type Stall } from "../../../boot/stall.ts";
import { moment, momentSchema } from "./text.ts";

/** Where a boot stands still, and what may keep it. */
export const stallSchema = z
  .object({
    kind: z.enum(STALL_KINDS).openapi({ description: "What it waits for" }),
    stage: z.enum(BOOT_STAGES).optional().openapi({ description: "The last that it reached" }),
    since: momentSchema,
    symptom: z.string().openapi({ description: "What was seen last, and what is missing" }),
    attempts: z.int().openapi({ description: "Boots in a row that got no further" }),
    causes: z
      .array(z.object({ cause: z.string(), remedy: z.string() }))
      .openapi({ description: "What may be behind it and what to do, the likeliest first" }),
  })
  .openapi("Stall");

/** A stall as the API shows it. */
export function viewStall({ kind, stage, since, symptom, attempts, causes }: Stall): z.infer<typeof stallSchema> {
  return {
    ...{ kind, stage, symptom, attempts },
    since: moment(since),
    causes: causes.map(({ cause, remedy }) => ({ cause, remedy })),
  };
}
