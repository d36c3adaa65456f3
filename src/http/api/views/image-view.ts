import { z } from "@hono/zod-openapi";
import type { ImageRecord } from "../../../images/image.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { moment, momentSchema } from "./text.ts";

/** An image, and where it comes from. */
export const imageSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    project: z.string(),
    origin: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("import"), source: z.string(), format: z.enum(["raw", "qcow2"]) }),
      z.object({
        kind: z.literal("snapshot"),
        disk: z.string(),
        diskName: z.string().optional().openapi({ description: "Its name, as long as there is such a disk" }),
        clean: z.boolean().openapi({ description: "Whether its OS had shut down in order" }),
      }),
    ]),
    sizeBytes: z.int(),
    sha256: z.string().optional().openapi({ description: "Of the raw content; known for imports" }),
    phonesHome: z.boolean(),
    ready: z.boolean().openapi({ description: "Whether its content is whole" }),
    createdAt: momentSchema,
    requestedBy: z.string(),
  })
  .openapi("Image");

/** An image as the API shows it. */
export function viewImage({ disks }: Appliance, image: ImageRecord): z.infer<typeof imageSchema> {
  const { id, name, project, sizeBytes, sha256, phonesHome, ready, requestedBy } = image;
  const origin =
    image.origin.kind === "import" ? image.origin : { ...image.origin, diskName: disks.find(image.origin.disk)?.name };
  const createdAt = moment(image.createdAt);
  return { id, name, project, origin, sizeBytes, sha256, phonesHome, ready, createdAt, requestedBy };
}
