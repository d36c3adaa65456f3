import type { Readable } from "node:stream";
import type { Layout, ReadRequest } from "../drivers/images/image-store.ts";
import type { ImageRecord } from "../images/image.ts";
import type { Appliance } from "./appliance.ts";

/** How an image's content is asked for; as ReadRequest. */
export type ContentRequest = Omit<ReadRequest, "image">;

/**
 * The content of a whole image, or a part of it, as a stream; as long as it is open, the image can't be removed. Destroy it
 * where it is not read to its end. BUSY while an operation holds the image; what the store can't do.
 */
export async function readImage(
  { store, runner }: Appliance,
  image: ImageRecord,
  request: ContentRequest,
  requestedBy: string,
  signal: AbortSignal,
): Promise<Readable> {
  const done = runner.beginDownload(image.id, `by ${requestedBy}`);
  try {
    const content = await store.read({ ...request, image: image.id } as ReadRequest, signal);
    return content.on("close", done);
  } catch (error) {
    done();
    throw error;
  }
}

/** How a whole image is laid out as a qcow2 file; what the store can't do. */
export function layoutImage({ store }: Appliance, image: ImageRecord, signal: AbortSignal): Promise<Layout> {
  return store.layout(image.id, signal);
}
