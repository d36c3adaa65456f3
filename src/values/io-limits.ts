import { ApplianceError } from "../errors.ts";

/** How much a disk does at most in a second, reads and writes together; what is left out is not limited. */
export type IoLimits = { iops?: number; bytesPerSecond?: number };

/** A change of them: null ends a limit, what is left out stays. */
export type IoLimitsChange = { [Limit in keyof IoLimits]?: number | null };

/**
 * The least of each. Linux gives up on a command after 30 s: a node's whole queue, 128 commands or 32 of the longest
 * (1.25 MiB), is through in less even then.
 */
const LEAST = { iops: 10, bytesPerSecond: 2 * 1024 ** 2 };
const MOST = { iops: 10_000_000, bytesPerSecond: 1024 ** 4 };

/** The limits after a change. INVALID for one that no node could work with, or that is none. */
export function changedLimits(limits: IoLimits, change: IoLimitsChange): IoLimits {
  const after: IoLimits = {};
  for (const limit of ["iops", "bytesPerSecond"] as const) {
    const value = change[limit] === undefined ? limits[limit] : (change[limit] ?? undefined);
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < LEAST[limit] || value > MOST[limit]) {
      throw new ApplianceError("INVALID", `${limit}: use ${LEAST[limit]} to ${MOST[limit]}`, {
        details: { field: limit, value, remedy: "less than that, and a node's commands time out; null ends the limit" },
      });
    }
    after[limit] = value;
  }
  return after;
}
