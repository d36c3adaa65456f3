import type { Authenticator, Credentials } from "../../access/authenticator.ts";
import type { Caller } from "../../access/caller.ts";
import type { FailedLogins } from "../../access/failed-logins.ts";
import { ApplianceError } from "../../errors.ts";

/** Who tells callers by their credentials, in the order in which they are asked, and what slows down who guesses. */
export type Gate = { authenticators: readonly Authenticator[]; failedLogins: FailedLogins };

/**
 * Whom a request's Authorization header stands for. UNAUTHENTICATED when nobody knows them; THROTTLED after too many
 * failures of that user name, or from that address.
 */
export async function authenticate(gate: Gate, authorization: string | undefined, source?: string): Promise<Caller> {
  const credentials = readCredentials(authorization);
  if (!credentials) throw unauthenticated("a token is needed");
  // a proxy in front of the listener speaks for everybody
  const from = source === undefined || isLoopback(source) ? [] : [`from ${source}`];
  const keys = credentials.scheme === "basic" ? [...from, `user ${credentials.user}`] : from;
  gate.failedLogins.refuse(keys);
  for (const authenticator of gate.authenticators) {
    const caller = await authenticator.authenticate(credentials);
    if (!caller) continue;
    if (credentials.scheme === "basic") gate.failedLogins.succeeded(`user ${credentials.user}`);
    return caller;
  }
  gate.failedLogins.failed(keys);
  throw unauthenticated(credentials.scheme === "basic" ? "user or password is wrong" : "the token is wrong");
}

/** RFC 6750 2.1 and RFC 7617 2. */
function readCredentials(authorization = ""): Credentials | undefined {
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  if (token !== undefined) return { scheme: "bearer", token };
  const encoded = /^Basic +([A-Za-z0-9+/=]+)$/i.exec(authorization)?.[1];
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? "", "base64").toString("utf8")) ?? [];
  return user === undefined || password === undefined ? undefined : { scheme: "basic", user, password };
}

function unauthenticated(message: string): ApplianceError {
  return new ApplianceError("UNAUTHENTICATED", message, {
    details: { remedy: "send Authorization: Bearer with a token (ingot token add makes one, on the appliance)" },
  });
}

function isLoopback(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}
