import type { Context } from "hono";
import type { AuditNote } from "../../audit/audit-entry.ts";
import type { ApiEnvironment, ApiParts } from "./api.ts";

const READS = new Set(["GET", "HEAD", "OPTIONS"]);
/** Whoever is not let in must not push others' entries out of the log. */
const STRANGERS_PER_MINUTE = 60;
const MINUTE = 60_000;

type Audited = Context<ApiEnvironment>;

/** What the API writes into the audit log of a request. */
export type AuditTrail = {
  /** Who asks for a change, before anything is done about it. UNAVAILABLE when that can't be written. */
  asked(context: Audited): Promise<void>;
  /** What came of that, and who was not let in. What has been done is answered even if this can't be written: the log says so. */
  answered(context: Audited): Promise<void>;
};

export function createAuditTrail({ audit, appliance, log }: ApiParts): AuditTrail {
  let strangers = { since: 0, count: 0 };
  const isFlood = () => {
    const now = appliance.clock.now();
    if (now - strangers.since > MINUTE) strangers = { since: now, count: 0 };
    strangers.count += 1;
    return strangers.count > STRANGERS_PER_MINUTE;
  };
  return {
    asked: async (context) => {
      if (!READS.has(context.req.method)) await audit.append({ kind: "request", ...describe(context) });
    },
    answered: async (context) => {
      const { status, headers } = context.res;
      const isStranger = context.get("caller") === undefined;
      if (isStranger ? status !== 401 || isFlood() : READS.has(context.req.method)) return;
      const code = context.get("failure");
      const id = /^\/v1\/operations\/([^/]+)$/.exec(headers.get("Location") ?? "")?.[1];
      const operation = id === undefined ? undefined : appliance.runner.get(id);
      const summary = context.get("summary");
      const note: AuditNote = {
        kind: "answer",
        ...(summary === undefined ? {} : { summary }),
        ...describe(context),
        status,
        ...(code === undefined ? {} : { code }),
        ...(operation ? { operation: operation.id, summary: operation.summary, project: operation.project } : {}),
      };
      await audit.append(note).catch((err) => log.error({ err, audit: note }, "answer not in the audit log"));
    },
  };
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
