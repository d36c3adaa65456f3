import type { DriftReport } from "../drift-watch.ts";
import type { MirrorState } from "../record-mirror.ts";
import type { Check, Finding } from "./finding.ts";

/** So many findings are listed one by one; the rest is counted. */
const LISTED = 10;

/** Whether the pool describes its things as they are on record, and what the last comparison of both found. */
export const catalogueCheck: Check = {
  name: "catalogue",
  run: async ({ appliance: { mirror, drift } }) => [
    describeMirror(mirror.state),
    ...(drift.report ? describeDrift(drift.report) : []),
  ],
};

function describeMirror({ behind, trouble }: MirrorState): Finding {
  const about = { check: "catalogue", subject: "descriptions in the pool" };
  if (behind === 0) return { ...about, state: "ok", message: "as on record" };
  if (trouble === undefined) return { ...about, state: "ok", message: `${behind} follow in a moment` };
  const remedy = "they follow by themselves once the pool takes them";
  return { ...about, state: "warning", message: `${behind} behind: ${trouble}`, remedy };
}

function describeDrift(report: DriftReport): Finding[] {
  const about = { check: "catalogue", subject: "records, pool and targets" };
  if (report.at === undefined) {
    const remedy = "ingot reconcile compares now";
    return [{ ...about, state: "warning", message: report.trouble, remedy }];
  }
  const { at, drifts } = report;
  const when = `found ${new Date(at).toISOString()}`;
  if (drifts.length === 0) return [{ ...about, state: "ok", message: "agree" }];
  const listed = drifts.slice(0, LISTED).map(({ kind, subject, message, remedy }): Finding => {
    const state = kind === "taken" || kind === "content-missing" ? "failed" : "warning";
    return {
      check: "catalogue",
      subject,
      state,
      message: `${message} (${when}; ingot reconcile compares now)`,
      remedy,
    };
  });
  if (drifts.length > LISTED) {
    const message = `${drifts.length - LISTED} more disagree`;
    listed.push({ ...about, state: "warning", message, remedy: "ingot reconcile lists them all" });
  }
  return listed;
}
