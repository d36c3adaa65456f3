import type { Context } from "hono";
import type { AuditNote } from "../../audit/audit-entry.ts";
import type { ApiEnvironment, ApiParts } from "./api.ts";

const READS = new Set(["GET", "HEAD", "OPTIONS"]);
/** Whoever is not let in must not push others' entries out of the log. */
const STRANGERS_PER_MINUTE = 60;
const MINUTE = 60_000;

type Audited = Context<ApiEnvironment>;
const strangers = new WeakMap<object, { since: number; count: number }>();

/** Writes down who asks for a change, before anything is done about it. UNAVAILABLE when that can't be written. */
export async function auditRequest({ audit }: ApiParts, context: Audited): Promise<void> {
  if (READS.has(context.req.method)) return;
  await audit.append({ kind: "request", ...describe(context) });
}

/** Writes down what came of that, and who was not let in. What has been done is answered even if this can't be written: the log says so. */
export async function auditAnswer({ audit, appliance, log }: ApiParts, context: Audited): Promise<void> {
  const { status, headers } = context.res;
  const isStranger = context.get("caller") === undefined;
  if (isStranger ? status !== 401 || isFlood(audit, appliance.clock.now()) : READS.has(context.req.method)) return;
  const code = context.get("failure");
  const id = /^\/v1\/operations\/([^/]+)$/.exec(headers.get("Location") ?? "")?.[1];
  const operation = id === undefined ? undefined : appliance.runner.get(id);
  const note: AuditNote = {
    kind: "answer",
    ...describe(context),
    status,
    ...(code === undefined ? {} : { code }),
    ...(operation ? { operation: operation.id, summary: operation.summary, project: operation.project } : {}),
  };
  await audit.append(note).catch((err) => log.error({ err, audit: note }, "answer not in the audit log"));
}

function describe({ req, env, var: { requestId, caller } }: Audited): Partial<AuditNote> {
  return {
    requestId,
    ...(caller ? { who: caller.name, ...(caller.user === undefined ? {} : { user: caller.user }) } : {}),
    from: env.localCaller ? "local" : (env.source ?? "unknown"),
    method: req.method,
    path: req.path,
  };
}

function isFlood(audit: object, now: number): boolean {
  const seen = strangers.get(audit);
  if (!seen || now - seen.since > MINUTE) {
    strangers.set(audit, { since: now, count: 1 });
    return false;
  }
  seen.count += 1;
  return seen.count > STRANGERS_PER_MINUTE;
}
