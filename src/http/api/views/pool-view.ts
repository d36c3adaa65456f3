import { z } from "@hono/zod-openapi";
import { poolPlace } from "../../../config/pool-place.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { POOL_LEVELS } from "../../../operations/pool-level.ts";
import type { PoolReport } from "../../../operations/pool-report.ts";

/** How full the pool is. */
export const poolFillSchema = z
  .object({
    level: z.enum(POOL_LEVELS).openapi({
      description: "closed: no new clones, imports and snapshots; critical: the ballast is given to running nodes",
    }),
    usedPercent: z.int(),
    totalBytes: z.int(),
    freeBytes: z.int(),
    filesystem: z.string(),
  })
  .openapi("PoolFill");

/** How full the pool is, what is held back of it, and what takes up most. */
export const poolSchema = poolFillSchema
  .extend({
    place: z.string().openapi({ description: "A directory of the appliance, or a pool of a Ceph cluster" }),
    ballastBytes: z.int().openapi({ description: "Held back for times of need" }),
    watermarks: z.object({ warn: z.int(), close: z.int(), critical: z.int() }).openapi({ description: "Percent" }),
    file: z
      .object({
        path: z.string(),
        sizeBytes: z.int(),
        allocatedBytes: z.int().openapi({ description: "Less than its size: it is sparse" }),
        diskFreeBytes: z.int().openapi({ description: "Of the disk that it is on" }),
      })
      .optional()
      .openapi({ description: "What the pool lives in; absent when that is a device of its own" }),
    largest: z.array(
      z.object({
        kind: z.enum(["image", "disk"]),
        id: z.string(),
        name: z.string().optional(),
        node: z.string().optional().openapi({ description: "That has the disk" }),
        sizeBytes: z.int(),
        usedBytes: z.int().openapi({ description: "What it shares with others counts too: removing it frees less" }),
      }),
    ),
  })
  .openapi("Pool");

/** A look at the pool as the API shows it. */
export function viewPool({ config }: Appliance, report: PoolReport): z.infer<typeof poolSchema> {
  const { level, usedPercent, usage, largest } = report;
  const { totalBytes, freeBytes, filesystem, ballast, file } = usage;
  const { watermarks } = config.pool;
  return {
    ...{ level, usedPercent, totalBytes, freeBytes, filesystem, place: poolPlace(config.pool) },
    ballastBytes: ballast.bytes,
    watermarks,
    ...(file ? { file: pick(file) } : {}),
    largest,
  };
}

function pick({ path, sizeBytes, allocatedBytes, diskFreeBytes }: NonNullable<PoolReport["usage"]["file"]>) {
  return { path, sizeBytes, allocatedBytes, diskFreeBytes };
}
