import { z } from "zod";
import { ApplianceError } from "../../errors.ts";
import type { Description } from "./pool-catalogue.ts";

/** A description as pools keep it: JSON, one text per image or disk. */
export const descriptionSchema = z.strictObject({
  schema: z.literal(1),
  kind: z.enum(["image", "disk"]),
  id: z.string().max(63),
  appliance: z.string().max(63),
  describedAt: z.number().int().nonnegative(),
  node: z.string().max(255).exactOptional(),
  record: z.record(z.string(), z.unknown()),
});

/**
 * The description of the thing `id` that a text holds. Undefined for any other text: none, a damaged one, one of a later
 * schema, or that of its parent, which clones inherit in some pools.
 */
export function readDescription(text: string | undefined, id: string): Description | undefined {
  if (text === undefined) return undefined;
  try {
    const description = descriptionSchema.parse(JSON.parse(text));
    return description.id === id ? description : undefined;
  } catch {
    return undefined;
  }
}

/** CONFLICT where a thing has another owner than `appliance` or `takenFrom`. */
export function checkOwner(
  { kind, id }: Pick<Description, "kind" | "id">,
  owner: string | undefined,
  appliance: string,
  takenFrom?: string,
): void {
  if (owner === undefined || owner === appliance || owner === takenFrom) return;
  throw new ApplianceError("CONFLICT", `${kind}: ${id} belongs to appliance ${owner}`, {
    details: {
      field: kind,
      value: id,
      appliance: owner,
      remedy: `work on it there; if that appliance is gone: ingot adopt --from ${owner}`,
    },
  });
}

/** NOT_FOUND: a description stays with its content. */
export function notInPool({ kind, id }: Pick<Description, "kind" | "id">): ApplianceError {
  return new ApplianceError("NOT_FOUND", `${kind}: ${id} is not in the pool`, { details: { field: kind, value: id } });
}
