import { driverFailed } from "../../failure.ts";
import { settled } from "../../settled.ts";
import type { RbdPool } from "./rbd-pool.ts";

/**
 * A rename that was interrupted gives one image two names: whichever were taken away, both would be gone. DRIVER_FAILED
 * where these two are of one image; either may be missing.
 */
export async function checkOneName(pool: RbdPool, name: string, other: string, signal: AbortSignal): Promise<void> {
  const idOf = async (image: string) =>
    (await pool.size(image, signal)) === undefined ? undefined : pool.id(image, signal);
  const [id, otherId] = await settled([idOf(name), idOf(other)]);
  if (id === undefined || id !== otherId) return;
  throw driverFailed("rbd", "rename", `${name} has two names in the pool`, {
    details: {
      field: "disk",
      value: name,
      remedy: `see which of ${name} and ${other} \`rbd ls\` lists, and remove the id of the other: rados rm rbd_id.${other} or rbd_id.${name}`,
    },
  });
}
