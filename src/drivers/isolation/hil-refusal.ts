import { ApplianceError, type ErrorCode } from "../../errors.ts";
import { driverFailed } from "../failure.ts";

/** How HIL said no. `type` and `said` only where it was HIL's own no, not its web server's. */
export type Refusal = { status: number; type?: string; said?: string };

const BUSY = { code: "CONFLICT", remedy: "look in HIL at who has it and what goes on there; then try again" } as const;

/** HIL's words for its noes. */
const NOES: Record<string, { code: ErrorCode; remedy: string }> = {
  NotFoundError: {
    code: "NOT_FOUND",
    remedy:
      "make it in HIL, or say what HIL calls it: isolation.projects, networks[].isolatedAs, ingot node cable --isolated-as",
  },
  DuplicateError: { code: "EXISTS", remedy: "choose another name, or remove the one that is in HIL" },
  BlockedError: BUSY,
  ProjectMismatchError: BUSY,
  IllegalStateError: BUSY,
  BadArgumentError: { code: "INVALID", remedy: "look at what HIL says of it, and correct that there or here" },
};

/** The error for a refusal; `known`: whether HIL knows who asks. Its details have HIL's own word as `hilError`. */
export function refusalError(action: string, url: string, refusal: Refusal, known: boolean): ApplianceError {
  const { status, type, said } = refusal;
  const facts = { driver: "hil", action, ...(type !== undefined && { hilError: type }) };
  if (status === 401 || !known) {
    const message = `${action}: HIL at ${url} ${known && type !== undefined ? "does not let its user do that" : "does not know user or password"}`;
    return new ApplianceError(known && type !== undefined ? "FORBIDDEN" : "UNAUTHENTICATED", message, {
      details: {
        ...facts,
        remedy: known
          ? "give HIL's user the project, or make it an admin"
          : "look at user and password, or token, of HIL in the configuration",
      },
    });
  }
  const no = type === undefined ? undefined : NOES[type];
  if (no)
    return new ApplianceError(no.code, `${action}: HIL refuses: ${said}`, { details: { ...facts, remedy: no.remedy } });
  if (status === 502 || status === 503 || status === 504)
    return new ApplianceError("UNAVAILABLE", `${action}: HIL at ${url} is down (${status})`, {
      details: { ...facts, remedy: "look whether HIL runs behind its web server" },
    });
  if (status >= 500)
    return driverFailed("hil", action, `HIL at ${url} failed (${status})`, {
      details: { ...facts, remedy: "look at HIL's log" },
      retryable: true,
    });
  return driverFailed("hil", action, `${url} answered ${status}${said ? `: ${said}` : ", which HIL's API does not"}`, {
    details: { ...facts, remedy: "look whether HIL, of its last version, is at that address" },
  });
}
