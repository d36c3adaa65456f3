import type { Check, Finding } from "./finding.ts";

/** Operations that wait for a person. */
export const operationCheck: Check = {
  name: "operations",
  run: async ({ appliance: { runner, operatorRequests } }) => {
    const stuck = runner.list().filter(({ state }) => state === "stuck");
    const waiting = operatorRequests.list().map(
      ({ node, action }): Finding => ({
        check: "operations",
        subject: node,
        state: "warning",
        message: `an operation waits for ${action} by hand`,
        remedy: `do it, see it done, then ingot node confirm ${node}`,
      }),
    );
    if (stuck.length + waiting.length === 0) {
      return [{ check: "operations", subject: "operations", state: "ok", message: "none is stuck" }];
    }
    const failures = stuck.map(({ id, summary, steps }): Finding => {
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
    return [...failures, ...waiting];
  },
};
