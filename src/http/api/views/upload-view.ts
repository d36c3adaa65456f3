import { z } from "@hono/zod-openapi";
import type { UploadState } from "../../../operations/uploads.ts";
import { COMPRESSIONS, IMAGE_FORMATS } from "../../../values/image-format.ts";
import { moment, momentSchema } from "./text.ts";

/** An upload that is not whole yet. */
export const uploadSchema = z
  .object({
    name: z.string().openapi({ description: "That the image will have" }),
    project: z.string(),
    format: z.enum(IMAGE_FORMATS),
    compression: z.enum(COMPRESSIONS),
    sizeBytes: z.int().optional().openapi({ description: "Unknown of one that is sent in chunks" }),
    receivedBytes: z.int().openapi({ description: "The next piece begins here" }),
    expiresAt: momentSchema.openapi({ description: "Unless more arrives" }),
    createdAt: momentSchema,
    requestedBy: z.string(),
  })
  .openapi("Upload");

/** An upload as the API shows it. */
export function viewUpload({ upload, receivedBytes, expiresAt }: UploadState): z.infer<typeof uploadSchema> {
  const { name, project, format, compression, sizeBytes, createdAt, requestedBy } = upload;
  const length = sizeBytes === undefined ? {} : { sizeBytes };
  const times = { expiresAt: moment(expiresAt), createdAt: moment(createdAt) };
  return { name, project, format, compression, ...length, receivedBytes, ...times, requestedBy };
}
