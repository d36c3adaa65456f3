import pLimit from "p-limit";
import type { z } from "zod";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { abortedError, driverFailed } from "../failure.ts";
import { type HilAccount, hilRequests } from "./hil-account.ts";
import { type Refusal, refusalError } from "./hil-refusal.ts";

export type HilCall = {
  method: "GET" | "PUT" | "POST" | "DELETE";
  /** Below `/v0`; each part becomes one part of the path, whatever is in it. */
  path: string[];
  /** None on a GET: HIL refuses one. */
  body?: Record<string, unknown>;
  /** For errors: what is being done. */
  action: string;
};

/** What HIL said yes with. */
export type HilAnswer = { status: number; json: unknown; location: string | undefined };

/** In which HIL's shortest call is answered, and which needs no right but to be known. */
const WHO_AM_I: HilCall = { method: "GET", path: ["nodes", "free"], action: "ask HIL whether it knows us" };

/** HIL looks at each password anew, which costs it a fifth of a second of one processor: more at once only wait there. */
const AT_ONCE = 4;

/**
 * One HIL over HTTP. A call has a deadline of its own, from its turn on. Fails with UNAUTHENTICATED (HIL does not know us), FORBIDDEN (it
 * does, and refuses us this), NOT_FOUND, EXISTS, CONFLICT, INVALID as HIL says no; UNAVAILABLE without an answer in time, and DRIVER_FAILED
 * for its own failures, retryable where it is not known what it did. Credentials and redirect addresses are in no error.
 */
export class HilClient {
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #callSeconds: number;
  readonly #atOnce = pLimit(AT_ONCE);

  /** CONFIG_INVALID for an account that can't be used. `callSeconds`: default 30. */
  constructor(account: HilAccount, { callSeconds = 30 }: { callSeconds?: number } = {}) {
    const { base, headers } = hilRequests(account);
    this.#base = base;
    this.#headers = headers;
    this.#callSeconds = callSeconds;
  }

  /** Without `/v0`, for messages and as the name of this HIL. */
  get url(): string {
    return this.#base.slice(0, -"/v0".length);
  }

  /** Asks for something, once more when the connection broke: it may have been one that HIL had left long ago. */
  async get<Shape extends z.ZodType>(
    path: string[],
    shape: Shape,
    action: string,
    signal: AbortSignal,
  ): Promise<z.output<Shape>> {
    const call: HilCall = { method: "GET", path, action };
    const { json } = await this.call(call, signal).catch((error) => {
      if (!isApplianceError(error, "UNAVAILABLE") || error.details.isSlow) throw error;
      return this.call(call, signal);
    });
    const parsed = shape.safeParse(json);
    if (parsed.success) return parsed.data;
    throw this.#notHil(action);
  }

  /** Does one call, once. */
  async call(call: HilCall, signal: AbortSignal): Promise<HilAnswer> {
    const { status, text, location } = await this.#send(call, signal);
    const json = parse(text);
    if (status === 307) return { status, json, location };
    if (status < 300) {
      if (json === undefined && text !== "") throw this.#notHil(call.action);
      return { status, json, location };
    }
    const refusal = refusalOf(status, json);
    throw refusalError(call.action, this.url, refusal, await this.#isKnown(refusal, signal));
  }

  #notHil(action: string): ApplianceError {
    return driverFailed("hil", action, `${this.url} answered something else than HIL does`, {
      details: { remedy: "look whether HIL, of its last version, is at that address" },
      retryable: true,
    });
  }

  /**
   * HIL says 401 also for what we may not, and 404 for a user that it does not know; so when either comes, what anybody
   * may ask tells which it is.
   */
  async #isKnown({ status, type }: Refusal, signal: AbortSignal): Promise<boolean> {
    if (type === undefined || (status !== 401 && status !== 404)) return true;
    const { status: answer } = await this.#send(WHO_AM_I, signal);
    return answer !== 401 && answer !== 404;
  }

  #send(call: HilCall, signal: AbortSignal) {
    return this.#atOnce(() => this.#sendNow(call, signal));
  }

  async #sendNow({ method, path, body, action }: HilCall, signal: AbortSignal) {
    const late = AbortSignal.timeout(this.#callSeconds * 1000);
    const deadline = AbortSignal.any([signal, late]);
    try {
      const answer = await fetch(`${this.#base}${path.map(part).join("")}`, {
        method,
        headers: { ...this.#headers, ...(body && { "content-type": "application/json" }) },
        ...(body && { body: JSON.stringify(body) }),
        redirect: "manual",
        signal: deadline,
      });
      const text = await answer.text();
      return { status: answer.status, text, location: answer.headers.get("location") ?? undefined };
    } catch (error) {
      if (isApplianceError(error)) throw error;
      if (signal.aborted) throw abortedError(signal, "hil", action);
      const within = late.aborted ? ` within ${this.#callSeconds} s` : "";
      throw new ApplianceError("UNAVAILABLE", `${action}: no answer from HIL at ${this.url}${within}`, {
        details: {
          driver: "hil",
          action,
          ...(late.aborted ? { isSlow: true } : { reason: networkReason(error) }),
          remedy: "look whether HIL runs and is reachable",
        },
      });
    }
  }
}

/** Why a request had no answer, in the words of the OS; nothing of the request itself. */
export function networkReason(error: unknown): string {
  const { code, message } = ((error as Error).cause ?? {}) as { code?: string; message?: string };
  return code ?? message ?? "connection failed";
}

/** One part of a path. What a URL would take for a step up or down is no name in HIL. */
function part(name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/"))
    throw new ApplianceError("INVALID", `"${name}" is no name in HIL`, {
      details: { driver: "hil", value: name, remedy: "a name there is not empty, and has no slash" },
    });
  return `/${encodeURIComponent(name)}`;
}

/** JSON, whatever its type is said to be; undefined for none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalOf(status: number, json: unknown): Refusal {
  const { type, msg } = (json ?? {}) as { type?: unknown; msg?: unknown };
  return typeof type === "string" ? { status, type, said: String(msg ?? "").slice(0, 200) } : { status };
}
