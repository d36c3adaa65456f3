/**
 * One line of the audit log. `request`: somebody asks for a change, written before anything is done; `answer`: what they got,
 * or that they were refused; `operation`: how a long change ended; `gap`: lines before this one are damaged or gone.
 */
export type AuditEntry = {
  seq: number;
  /** ISO 8601, UTC. */
  at: string;
  kind: "request" | "answer" | "operation" | "gap";
  /** Ties an answer to its request, and to the log. */
  requestId?: string;
  who?: string;
  /** The person behind a token of their own. */
  user?: string;
  /** The address that it came from; `local` for the unix socket. */
  from?: string;
  method?: string;
  path?: string;
  status?: number;
  /** Of an error. */
  code?: string;
  operation?: string;
  /** An operation in words. */
  summary?: string;
  project?: string;
  /** How an operation ended. */
  state?: string;
  /** Of a gap. */
  why?: string;
};

/** An entry as whoever writes it knows it. */
export type AuditNote = Omit<AuditEntry, "seq" | "at">;
