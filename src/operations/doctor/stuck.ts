import type { Check } from "./finding.ts";

/** Operations that wait for a person. */
export const stuckCheck: Check = {
  name: "operations",
  run: async ({ appliance: { runner } }) => {
    const stuck = runner.list().filter(({ state }) => state === "stuck");
    if (stuck.length === 0) {
      return [{ check: "operations", subject: "operations", state: "ok", message: "none is stuck" }];
    }
    return stuck.map(({ id, summary, steps }) => {
      const failed = steps.findLast(({ state }) => state === "failed");
      const why = failed ? ` at ${failed.name}: ${failed.error?.message ?? "failed"}` : "";
      return {
        check: "operations",
        subject: id,
        state: "failed",
        message: `${summary} is stuck${why}`,
        remedy: `mend the cause, then ingot operation retry ${id}`,
      };
    });
  },
};
