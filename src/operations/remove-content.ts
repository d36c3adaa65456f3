import type { StoredKind } from "../drivers/images/image-store.ts";
import { isApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";

/** So long a removal may take: Ceph goes through all objects of what is removed, and a terabyte has a quarter of a million. */
export const REMOVAL_SECONDS = 6 * 3600;

/**
 * Removes the content of a disk or an image for good. What another appliance has adopted stays as it is: only the record
 * of it is left to be dropped here. Fails as the store's `remove` otherwise.
 */
export async function removeContent(
  { store, log }: Pick<Appliance, "store" | "log">,
  kind: StoredKind,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await store.remove(kind, id, signal);
  } catch (error) {
    // the pool names an owner only where that is another one
    if (!isApplianceError(error, "CONFLICT") || error.details.appliance === undefined) throw error;
    log.warn(
      { component: "operations", kind, id, appliance: error.details.appliance },
      "adopted elsewhere, left alone",
    );
  }
}
