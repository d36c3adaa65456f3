import { z } from "@hono/zod-openapi";
import type { ImageRecord } from "../../../images/image.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { isUsableBy, nameFrom } from "../../../projects/owned-things.ts";
import { COMPRESSIONS, IMAGE_FORMATS } from "../../../values/image-format.ts";
import { moment, momentSchema } from "./text.ts";

/** An image, and where it comes from. */
export const imageSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    project: z.string(),
    origin: z.discriminatedUnion("kind", [
      z.object({
        kind: z.literal("import"),
        source: z.string().openapi({ description: "A path or a URL, without credentials" }),
        format: z.enum(IMAGE_FORMATS),
        compression: z.enum(COMPRESSIONS).optional(),
      }),
      z.object({
        kind: z.literal("snapshot"),
        disk: z.string(),
        diskName: z.string().optional().openapi({ description: "Its name, as long as there is such a disk" }),
        clean: z.boolean().openapi({ description: "Whether its OS had shut down in order" }),
        scheduled: z.boolean().optional().openapi({ description: "Taken by a schedule, which removes it in time" }),
      }),
      z.object({
        kind: z.literal("rbd"),
        source: z.string().openapi({ description: "POOL/IMAGE[@SNAPSHOT] elsewhere in Ceph" }),
        clean: z.boolean(),
      }),
      z.object({
        kind: z.literal("increment"),
        source: z.string(),
        base: z.string().openapi({ description: "Id of the image that it was put onto" }),
        clean: z.boolean(),
      }),
      z.object({
        kind: z.literal("copy"),
        image: z.string().openapi({ description: "Id of the image that was copied" }),
        clean: z.boolean(),
        imageName: z.string().optional().openapi({ description: "Its name, as long as there is such an image" }),
      }),
    ]),
    sizeBytes: z.int(),
    sha256: z.string().optional().openapi({ description: "Of the raw content; known for imports" }),
    phonesHome: z.boolean(),
    ready: z.boolean().openapi({ description: "Whether its content is whole" }),
    description: z.string().optional(),
    labels: z.record(z.string(), z.string()),
    retired: z.boolean().openapi({ description: "Whether nothing new is made of it" }),
    public: z.boolean().openapi({ description: "Whether every project may clone it" }),
    sharedWith: z.array(z.string()).openapi({ description: "Projects that may clone it, beside its own" }),
    createdAt: momentSchema,
    requestedBy: z.string(),
  })
  .openapi("Image");

/** An image as the API shows it to a project: of one that others share with it, only what it takes to use it. */
export function viewImage(appliance: Appliance, image: ImageRecord, viewer: string): z.infer<typeof imageSchema> {
  const { id, name, project, sizeBytes, sha256, phonesHome, ready, description, requestedBy } = image;
  const { labels = {}, retired = false, isPublic = false } = image;
  const sharedWith = viewer === image.project ? (image.sharedWith ?? []) : [];
  return {
    ...{ id, name, project, origin: viewOrigin(appliance, image, viewer), sizeBytes, sha256, phonesHome, ready },
    ...{ description: description || undefined, labels, retired, public: isPublic, sharedWith },
    ...{ createdAt: moment(image.createdAt), requestedBy },
  };
}

function viewOrigin({ disks, images }: Appliance, { project, origin }: ImageRecord, viewer: string) {
  if (viewer !== project) return origin;
  if (origin.kind === "snapshot") return { ...origin, diskName: disks.find(origin.disk)?.name };
  if (origin.kind !== "copy") return origin;
  const copied = images.find(origin.image);
  return { ...origin, imageName: copied && isUsableBy(project, copied) ? nameFrom(project, copied) : undefined };
}
