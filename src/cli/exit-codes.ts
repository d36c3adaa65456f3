import { ERROR_KINDS, type ErrorCode, type ErrorKind } from "../errors.ts";

/** The exit code of each family of errors. Stable: scripts rely on them. */
const OF_KIND: Record<ErrorKind, number> = {
  internal: 1,
  invalid: 2,
  "not-found": 3,
  conflict: 4,
  unavailable: 5,
  timeout: 6,
  exhausted: 7,
  unsupported: 8,
  unauthenticated: 9,
  forbidden: 10,
  throttled: 13,
};
/** The doctor found something failed. */
export const UNHEALTHY = 11;
/** An operation is stuck: a person must look. */
export const STUCK = 12;
/** Ctrl-C; the operation that was waited for goes on. */
export const INTERRUPTED = 130;

/** The exit code of an error, that of a failed operation included. */
export function exitCodeOf(code: ErrorCode): number {
  return OF_KIND[ERROR_KINDS[code]];
}

/** For `ingot --help`. */
export const EXIT_CODES = `Exit codes:
  0 done                     7 no space, address or quota left
  1 a bug in Ingot           8 not supported here
  2 wrong input              9 token missing or wrong
  3 no such thing           10 not allowed
  4 not in this state       11 the doctor found something failed
  5 something is down       12 the operation is stuck
  6 too late                13 too many failed to log in
                           130 interrupted; what was begun goes on`;
