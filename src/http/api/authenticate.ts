import type { Authenticator, Credentials } from "../../access/authenticator.ts";
import type { Caller } from "../../access/caller.ts";
import type { FailedLogins } from "../../access/failed-logins.ts";
import { ApplianceError } from "../../errors.ts";

/** Who tells callers by their credentials, and what slows down who guesses. Each kind goes to the first who judges it, alone. */
export type Gate = { authenticators: readonly Authenticator[]; failedLogins: FailedLogins };

/** The headers of a request that may tell who sends it. */
export type Shown = { authorization?: string | undefined; authToken?: string | undefined };

/**
 * Whom a request's headers stand for. UNAUTHENTICATED when nobody knows them; THROTTLED after too many failures of that
 * user name, or from that address; UNAVAILABLE when whoever is for that can't tell.
 */
export async function authenticate(gate: Gate, shown: Shown, source?: string): Promise<Caller> {
  const credentials = readCredentials(shown);
  if (!credentials) throw unauthenticated("a token is needed");
  const user = credentials.scheme === "basic" ? credentials.user : undefined;
  return attempt(gate, { user, source }, async () => {
    const authenticator = gate.authenticators.find((one) => one.judges(credentials));
    const caller = await authenticator?.authenticate(credentials);
    if (authenticator && caller) return { ...caller, authenticator: authenticator.name };
    return unauthenticated(user === undefined ? "the token is wrong" : "user or password is wrong");
  });
}

/**
 * Sees to it that somebody who is let in knows their password too. UNAUTHENTICATED when they do not, which counts as a
 * failed login; THROTTLED.
 */
export async function confirmPassword(
  gate: Gate,
  who: { user: string; source: string | undefined },
  isRight: () => Promise<boolean>,
): Promise<void> {
  await attempt(gate, who, async () => {
    if (await isRight()) return true;
    return new ApplianceError("UNAUTHENTICATED", "the present password is wrong", {
      details: {
        field: "present",
        remedy: "try again, or let an admin give you another one: ingot user password NAME",
      },
    });
  });
}

/** One attempt to log in: an error that it answers counts against the user name and the source, one that it throws does not. */
async function attempt<Known>(
  { failedLogins }: Gate,
  { user, source }: { user: string | undefined; source: string | undefined },
  log: () => Promise<Known | ApplianceError>,
): Promise<Known> {
  // a proxy in front of the listener speaks for everybody
  const from = source === undefined || isLoopback(source) ? [] : [`from ${source}`];
  const keys = user === undefined ? from : [...from, `user ${user}`];
  failedLogins.refuse(keys);
  const found = await log();
  const isWrong = found instanceof ApplianceError;
  try {
    // many guesses may have been asked for at once: no answer tells anything that one after the other would not have told
    failedLogins.refuse(keys);
  } finally {
    if (isWrong) failedLogins.failed(keys);
  }
  if (isWrong) throw found;
  if (user !== undefined) failedLogins.succeeded(`user ${user}`);
  return found;
}

/** RFC 6750 2.1 and RFC 7617 2; keystone's header where there is none of these. */
function readCredentials({ authorization, authToken }: Shown): Credentials | undefined {
  if (authorization === undefined) return authToken ? { scheme: "x-auth-token", token: authToken } : undefined;
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
