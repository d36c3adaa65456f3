import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from "jose";
import { z } from "zod";
import type { Clock } from "../clock.ts";
import { ApplianceError } from "../errors.ts";
import type { Credentials, ForeignAuthenticator } from "./authenticator.ts";
import type { Caller, Grant } from "./caller.ts";

/** Whose tokens are believed, and who is who by them. */
export type OidcSettings = {
  issuer: string;
  audience: string;
  /** Where the issuer's keys are; by its discovery document otherwise. */
  jwksUrl?: string | undefined;
  algorithms: readonly string[];
  clockToleranceSeconds: number;
  /** The claim that is the user's name. */
  nameClaim: string;
  /** The claim that has the user's groups, as text or list; `realm_access.roles` is a claim inside another. */
  groupsClaim: string;
  groups: () => readonly { group: string; grant: Grant }[];
};

/** Three parts in base64url; the last one is empty where nothing is signed (RFC 7515 7.1). */
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
const PRINTABLE = /^\P{C}{1,255}$/u;
const ANSWER_MS = 5_000;
/** Whoever makes up key ids, or asks while the issuer is down, makes nobody ask it more often. */
const COOLDOWN_MS = 10_000;
/** A key that the issuer has withdrawn is believed no longer than this. */
const KEYS_MS = 600_000;

type AskedKeys = { asked: Promise<JWTVerifyGetKey>; failedAt?: number };

const discovery = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) });

/** What jose says of a token that is not good; anything else is about the keys. */
const REFUSALS = new Set([
  errors.JWSInvalid.code,
  errors.JWTInvalid.code,
  errors.JWTClaimValidationFailed.code,
  errors.JWSSignatureVerificationFailed.code,
  errors.JOSEAlgNotAllowed.code,
  errors.JOSENotSupported.code,
  errors.JWKSNoMatchingKey.code,
]);

/** Knows callers by signed tokens of one OpenID Connect issuer (RFC 7519, OpenID Connect Discovery 1.0). */
export class OidcAuthenticator implements ForeignAuthenticator {
  readonly name = "oidc";
  readonly #settings: OidcSettings;
  readonly #clock: Clock;
  readonly #cooldownMs: number;
  #keys: AskedKeys | undefined;

  /** `cooldownMs`: so long after one look for the issuer's keys until the next, at least. */
  constructor(settings: OidcSettings, { clock, cooldownMs = COOLDOWN_MS }: { clock: Clock; cooldownMs?: number }) {
    this.#settings = settings;
    this.#clock = clock;
    this.#cooldownMs = cooldownMs;
  }

  judges(credentials: Credentials): boolean {
    return credentials.scheme === "bearer" && JWT.test(credentials.token);
  }

  /** UNAUTHENTICATED, in so many words, for a token that was good until it expired: that is no guess. */
  async authenticate(credentials: Credentials): Promise<Caller | undefined> {
    if (credentials.scheme !== "bearer") return undefined;
    const { issuer, audience, algorithms, clockToleranceSeconds, nameClaim } = this.#settings;
    const keys = await this.#findKeys();
    try {
      const payload = await verified(credentials.token, keys, {
        issuer,
        audience,
        algorithms: [...algorithms],
        clockTolerance: clockToleranceSeconds,
        requiredClaims: ["exp", nameClaim],
        currentDate: new Date(this.#clock.now()),
      });
      return this.#callerOf(payload);
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw new ApplianceError("UNAUTHENTICATED", "the token has expired", {
          details: { remedy: `get another one from ${issuer}` },
        });
      }
      if (error instanceof errors.JOSEError && REFUSALS.has(error.code)) return undefined;
      throw this.#unavailable(error);
    }
  }

  async probe(signal: AbortSignal): Promise<string> {
    const { issuer } = this.#settings;
    const found = await this.#locateKeys(signal);
    const keys = z.object({ keys: z.array(z.object({ kty: z.string() })).min(1) });
    const answer = keys.safeParse(await this.#fetchJson(found, signal));
    if (!answer.success) throw this.#unavailable(new Error(`${found} has no keys`));
    return `${issuer} has ${answer.data.keys.length} keys`;
  }

  #callerOf(payload: JWTPayload): Caller | undefined {
    const { nameClaim, groupsClaim, groups } = this.#settings;
    const name = payload[nameClaim];
    if (typeof name !== "string" || !PRINTABLE.test(name)) return undefined;
    const held = new Set([claimOf(payload, groupsClaim)].flat());
    const grants = groups()
      .filter(({ group }) => held.has(group))
      .map(({ grant }) => grant);
    return { name: `oidc:${name}`, user: `oidc:${name}`, grants };
  }

  /** The issuer's keys; asked for once at a time, and not again right after that failed. */
  async #findKeys(): Promise<JWTVerifyGetKey> {
    const known = this.#keys;
    const isCold = known?.failedAt !== undefined && this.#clock.now() - known.failedAt >= this.#cooldownMs;
    if (known && !isCold) return known.asked;
    const asking: AskedKeys = {
      asked: this.#locateKeys(AbortSignal.timeout(ANSWER_MS)).then((url) =>
        createRemoteJWKSet(new URL(url), {
          timeoutDuration: ANSWER_MS,
          cooldownDuration: this.#cooldownMs,
          cacheMaxAge: KEYS_MS,
          [customFetch]: this.#fetchKeys(),
        }),
      ),
    };
    this.#keys = asking;
    asking.asked.catch(() => {
      asking.failedAt = this.#clock.now();
    });
    return asking.asked;
  }

  /** jose waits between looks that went well; this, after one that did not. */
  #fetchKeys(): FetchImplementation {
    let failed: { at: number; error: unknown } | undefined;
    return async (url, options) => {
      if (failed && this.#clock.now() - failed.at < this.#cooldownMs) throw failed.error;
      try {
        const answer = await fetch(url, options as RequestInit);
        if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
        failed = undefined;
        return answer;
      } catch (error) {
        failed = { at: this.#clock.now(), error };
        throw error;
      }
    };
  }

  async #locateKeys(signal: AbortSignal): Promise<string> {
    const { issuer, jwksUrl } = this.#settings;
    if (jwksUrl !== undefined) return jwksUrl;
    const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const document = discovery.safeParse(await this.#fetchJson(url, signal));
    if (!document.success) throw this.#unavailable(new Error(`${url} is no discovery document`));
    if (document.data.issuer !== issuer) throw this.#unavailable(new Error(`${url} is another issuer's`));
    if (issuer.startsWith("https:") && !document.data.jwks_uri.startsWith("https:")) {
      throw this.#unavailable(new Error("its keys are said to be where they could be forged, without TLS"));
    }
    return document.data.jwks_uri;
  }

  async #fetchJson(url: string, signal: AbortSignal): Promise<unknown> {
    try {
      const answer = await fetch(url, { signal, redirect: "error", headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
      return await answer.json();
    } catch (error) {
      throw this.#unavailable(error);
    }
  }

  #unavailable(error: unknown): ApplianceError {
    const { message, cause } = error as Error;
    const reason = (cause as { code?: string } | undefined)?.code ?? message;
    return new ApplianceError("UNAVAILABLE", `${this.#settings.issuer} does not tell its keys now: ${reason}`, {
      details: {
        field: "api.oidc.issuer",
        reason,
        remedy: "look whether the issuer runs and is reachable from here; Ingot's own tokens go on working",
      },
    });
  }
}

/** What a token says, once it is verified. One that names no key may be signed by any of those that fit. */
async function verified(token: string, keys: JWTVerifyGetKey, options: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (refusal) {
        if (!(refusal instanceof errors.JWSSignatureVerificationFailed)) throw refusal;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** A claim by its name, or by the names that lead to it. */
function claimOf(payload: JWTPayload, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  let found: unknown = payload;
  for (const part of name.split(".")) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, part)) return undefined;
    found = (found as Record<string, unknown>)[part];
  }
  return found;
}
