import type { IoLimits } from "../../../values/io-limits.ts";
import { driverFailed } from "../../failure.ts";
import { unlessRefused } from "./discard.ts";
import type { RbdPool } from "./rbd-pool.ts";

/** librbd's own settings, in an image's metadata: whoever has it open is told of a change, and takes it over. */
const KEYS = { iops: "conf_rbd_qos_iops_limit", bytesPerSecond: "conf_rbd_qos_bps_limit" } as const;
const LIMITS = Object.keys(KEYS) as (keyof typeof KEYS)[];

/** The limits of an image or disk. */
export async function limitsOf(pool: RbdPool, image: string, signal: AbortSignal): Promise<IoLimits> {
  const limits: IoLimits = {};
  const metadata = (await pool.inspect(image, Object.values(KEYS), signal))?.metadata ?? {};
  for (const limit of LIMITS) {
    const value = Number(metadata[KEYS[limit]] ?? 0);
    if (value > 0) limits[limit] = value;
  }
  return limits;
}

/** Gives it these limits, and no others. DRIVER_FAILED where it does not have them then. */
export async function setLimits(pool: RbdPool, image: string, limits: IoLimits, signal: AbortSignal): Promise<void> {
  const found = await limitsOf(pool, image, signal);
  const changed = LIMITS.filter((limit) => found[limit] !== limits[limit]);
  if (changed.length === 0) return;
  for (const limit of changed) {
    const value = limits[limit];
    if (value === undefined) await unlessRefused("none", pool.removeMetadata(image, KEYS[limit], signal));
    else await pool.setMetadata(image, KEYS[limit], String(value), signal);
  }
  const after = await limitsOf(pool, image, signal);
  if (LIMITS.every((limit) => after[limit] === limits[limit])) return;
  throw driverFailed("rbd", "limit", `${image} has other limits than it was given`, {
    details: { remedy: `somebody else sets them: rbd image-meta list …/${image}` },
  });
}
