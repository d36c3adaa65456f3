import { z } from "@hono/zod-openapi";
import type { DiskRecord } from "../../../disks/disk.ts";
import type { SnapshotSchedule } from "../../../disks/snapshot-schedule.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { ROOT_LUN } from "../../../operations/attachment.ts";
import { nameFrom } from "../../../projects/owned-things.ts";
import { moment, momentIfAny, momentSchema } from "./text.ts";

/** A node's disk, and what it was cloned from. */
export const diskSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    project: z.string(),
    image: z.string().optional().openapi({ description: "The image that it was cloned from: NAME, or OWNER/NAME" }),
    imageId: z.string().optional(),
    sizeBytes: z.int(),
    node: z.string().optional().openapi({ description: "Name of the node that it is attached to" }),
    lun: z.int().optional().openapi({ description: "Where that node finds it; 1 for the disk that it boots" }),
    readOnly: z.boolean().openapi({ description: "Whether that node can't write to it" }),
    clean: z.boolean().openapi({ description: "Whether its last user shut down in order" }),
    depth: z.int().openapi({ description: "Through how many others a read may go at most; 0 where it stands alone" }),
    limits: z
      .object({ iops: z.int().optional(), bytesPerSecond: z.int().optional() })
      .optional()
      .openapi({ description: "What it does at most in a second" }),
    schedule: z
      .object({
        everySeconds: z.int(),
        keep: z.int(),
        lastAt: momentSchema.optional(),
        failure: z.object({ at: momentSchema, message: z.string() }).optional(),
      })
      .optional()
      .openapi({ description: "When snapshots of it are taken by themselves" }),
    detachedAt: momentSchema.optional().openapi({ description: "When it was last taken from a node" }),
    deletedAt: momentSchema.optional().openapi({ description: "Deleted then, and still to be undeleted" }),
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
    depth: disk.depth ?? 0,
    limits: disk.limits,
    schedule: disk.schedule && viewSchedule(disk.schedule),
    detachedAt: momentIfAny(disk.detachedAt),
    deletedAt: momentIfAny(disk.deletedAt),
    createdAt: moment(disk.createdAt),
    requestedBy,
  };
}

function viewSchedule({ everySeconds, keep, lastAt, failure }: SnapshotSchedule) {
  return {
    everySeconds,
    keep,
    lastAt: momentIfAny(lastAt),
    failure: failure && { at: moment(failure.at), message: failure.message },
  };
}
