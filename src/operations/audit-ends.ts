import type { AuditNote } from "../audit/audit-entry.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import type { Log } from "../log.ts";
import type { Records } from "../store/records.ts";
import { isOver, type OperationRecord } from "./operation.ts";

/** More than ended within the moment that a dying process may have lost. */
const NEWEST_ENDS = 1_000;
/** Clocks that were set, and ends that are written one behind the other. */
const SLACK_MS = 60_000;

/** What came of long changes goes into the audit log; that they did something is in their own records too. */
export function auditEnds(audit: AuditLog, log: Log): (operation: OperationRecord) => Promise<void> {
  return async (operation) => {
    const note = endOf(operation);
    await audit
      .append(note)
      .catch((err) => log.error({ err, audit: note }, "end of an operation not in the audit log"));
  };
}

/**
 * Writes the ends that the last run of the process put on record, and died before it audited them. Those that it lost are newer
 * than the last one that is there.
 */
export async function auditLostEnds(audit: AuditLog, records: Records, log: Log): Promise<void> {
  const over = [...records.collection<OperationRecord>("operations").values()].filter(({ state }) => isOver(state));
  const audited = await audit.last(NEWEST_ENDS, ({ kind }) => kind === "operation");
  const since = audited[0] ? Date.parse(audited[0].at) - SLACK_MS : Number.NEGATIVE_INFINITY;
  const lost = over.filter(
    ({ id, state, endedAt = since }) =>
      endedAt > since && !audited.some((one) => one.operation === id && one.state === state),
  );
  for (const operation of lost.toSorted((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0))) {
    await auditEnds(audit, log)(operation);
  }
}

function endOf({ id, summary, project, requestedBy, state, error }: OperationRecord): AuditNote {
  const code = error ? { code: error.code } : {};
  return { kind: "operation", who: requestedBy, operation: id, summary, project, state, ...code };
}
