/**
 * The one error type that crosses rings. `code` is what programs switch on and
 * README lists; `kind` maps to an HTTP status (http/api/problem.ts) and to a
 * CLI exit code (cli/exit-codes.ts).
 */

/** The family of an error: who must act, and how. */
export type ErrorKind =
  | "invalid" // the caller's input is wrong: 400
  | "unauthenticated" // 401
  | "forbidden" // 403
  | "throttled" // too many attempts: 429
  | "not-found" // 404
  | "conflict" // the state of things forbids it now: 409
  | "unsupported" // this driver or build can't: 501
  | "exhausted" // no address, space or quota left: 507
  | "unavailable" // something outside is down, try again: 503
  | "timeout" // a deadline passed: 504
  | "internal"; // our bug: 500

/** Every code and its family. Codes are stable: they are part of the API. */
export const ERROR_KINDS = {
  INVALID: "invalid",
  CONFIG_INVALID: "invalid",
  UNAUTHENTICATED: "unauthenticated",
  FORBIDDEN: "forbidden",
  THROTTLED: "throttled",
  NOT_FOUND: "not-found",
  EXISTS: "conflict",
  IN_USE: "conflict",
  BUSY: "conflict",
  CONFLICT: "conflict",
  LOCKED: "conflict",
  UNSUPPORTED: "unsupported",
  POOL_FULL: "exhausted",
  QUOTA: "exhausted",
  NO_ADDRESS: "exhausted",
  DRIVER_FAILED: "unavailable",
  UNAVAILABLE: "unavailable",
  TIMEOUT: "timeout",
  CANCELLED: "conflict",
  CORRUPT: "internal",
  INTERNAL: "internal",
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

/**
 * Facts that go with an error: plain JSON, no secrets. By convention: `field`, `value`, `remedy`; `operatorRemedy`, in its place for who may know of all projects; `usedBy`, all that keeps it from going; `outage`, when something
 * that the appliance can't be without is down, and all that helps is that it comes back; `absent`, when that is known not to run, so that it does nothing: what
 * only does not answer may still be at work; `luns`, those of a target that can't be served, while the rest of it is as it should be.
 */
export type ErrorDetails = {
  field?: string;
  value?: unknown;
  remedy?: string;
  operatorRemedy?: string;
  retryAfterSeconds?: number;
  usedBy?: { kind: string; name: string; project?: string }[];
  driver?: string;
  action?: string;
  outage?: boolean;
  absent?: boolean;
  luns?: number[];
  [fact: string]: unknown;
};

export class ApplianceError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  /** Whether the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: ErrorDetails; retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ApplianceError";
    this.code = code;
    this.details = options.details ?? {};
    this.retryable = options.retryable ?? (code === "UNAVAILABLE" || code === "TIMEOUT");
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.code];
  }
}

/** True for an ApplianceError, of this code if one is given. */
export function isApplianceError(error: unknown, code?: ErrorCode): error is ApplianceError {
  return error instanceof ApplianceError && (code === undefined || error.code === code);
}

/** The ApplianceError that `error` is, or an INTERNAL one that wraps it. */
export function toApplianceError(error: unknown): ApplianceError {
  if (error instanceof ApplianceError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApplianceError("INTERNAL", message, { cause: error });
}
