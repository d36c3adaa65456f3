import { z } from "@hono/zod-openapi";
import type { DiskRecord } from "../../../disks/disk.ts";
import { nameFrom } from "../../../images/image-catalogue.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { ROOT_LUN } from "../../../operations/attachment.ts";
import { moment, momentSchema } from "./text.ts";

/** A node's disk, and what it was cloned from. */
export const diskSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    project: z.string(),
    image: z.string().openapi({ description: "The image that it was cloned from: NAME, or OWNER/NAME" }),
    imageId: z.string(),
    sizeBytes: z.int(),
    node: z.string().optional().openapi({ description: "Name of the node that it is attached to" }),
    lun: z.int().optional().openapi({ description: "Where that node finds it; 1 for the disk that it boots" }),
    readOnly: z.boolean().openapi({ description: "Whether that node can't write to it" }),
    clean: z.boolean().openapi({ description: "Whether its last user shut down in order" }),
    createdAt: momentSchema,
    requestedBy: z.string(),
  })
  .openapi("Disk");

/** A disk as the API shows it: image and node by name. */
export function viewDisk({ images, nodes }: Appliance, disk: DiskRecord): z.infer<typeof diskSchema> {
  const { id, name, project, sizeBytes, clean, requestedBy } = disk;
  const image = images.find(disk.image);
  return {
    id,
    name,
    project,
    image: image ? nameFrom(project, image) : disk.image,
    imageId: disk.image,
    sizeBytes,
    node: disk.node === undefined ? undefined : nodes.get(disk.node).name,
    lun: disk.node === undefined ? undefined : (disk.dataLun?.lun ?? ROOT_LUN),
    readOnly: disk.dataLun?.readOnly ?? false,
    clean,
    createdAt: moment(disk.createdAt),
    requestedBy,
  };
}
