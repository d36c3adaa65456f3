import type { Description } from "../pool-catalogue.ts";
import type { InspectedImage } from "./rbd-pool.ts";

/** The snapshot that an image is: clones are its children. */
export const CONTENT = "content";

/** Before the id of what is in the making: never listed, and made anew or taken away by whoever finds it. */
export const NEW = "new.";

/** Before the id of what is on its way out. */
export const OLD = "old.";

/** Image metadata of ours; those that begin with `conf_` are librbd's own: settings of whoever opens the image. */
export const META = { sha256: "ingot.sha256", padded: "ingot.padded", record: "ingot.record" };

/**
 * An acknowledged write is in the cluster, not in the cache of tgtd; children inherit it: librbd copies metadata
 * last, so what has this is whole.
 */
export const NO_CACHE = ["conf_rbd_cache", "false"] as const;

/** Whether an image that was inspected for it is whole. */
export function isWhole({ metadata }: InspectedImage): boolean {
  return NO_CACHE[0] in metadata;
}

/** Nobody describes what is not whole; things that were described before count as they are. */
export function isHalfMade(found: InspectedImage, description: Description | undefined): boolean {
  return description === undefined && !isWhole(found);
}
