import { z } from "@hono/zod-openapi";
import { lineage } from "../../../images/lineage.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { nameFrom } from "../../../projects/owned-things.ts";
import { momentIfAny, momentSchema } from "./text.ts";

/** An image or a disk of a project, and what it came from. */
export const relativeSchema = z
  .object({
    kind: z.enum(["image", "disk"]),
    id: z.string(),
    parent: z
      .string()
      .optional()
      .openapi({ description: "Id of what it came from: a disk of an image, a snapshot of a disk" }),
    depth: z.int().openapi({ description: "How many there are above it" }),
    name: z.string().optional().openapi({ description: "Absent: it is gone, and others came from it" }),
    node: z.string().optional().openapi({ description: "Name of the node that has the disk" }),
    sizeBytes: z.int().optional(),
    createdAt: momentSchema.optional(),
  })
  .openapi("Relative");

/** The lineage of a project's images and disks, each right below what it came from. */
export function viewLineage({ images, disks, nodes }: Appliance, project: string): z.infer<typeof relativeSchema>[] {
  const own = disks.list(project);
  const origins = new Set(own.map((disk) => disk.image));
  const shown = images.list().filter((image) => image.project === project || origins.has(image.id));
  return lineage(shown, own).map((one) => {
    const { kind, id, parent, depth, record } = one;
    const node = one.kind === "disk" && one.record?.node !== undefined ? nodes.get(one.record.node).name : undefined;
    const name = one.kind === "image" && one.record ? nameFrom(project, one.record) : record?.name;
    const { sizeBytes } = record ?? {};
    return { kind, id, parent, depth, name, node, sizeBytes, createdAt: momentIfAny(record?.createdAt) };
  });
}
