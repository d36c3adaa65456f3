import { exportSPKI, SignJWT, UnsecuredJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OidcAuthenticator, type OidcSettings } from "../../../src/access/oidc-authenticator.ts";
import { systemClock } from "../../../src/clock.ts";
import { Issuer } from "./issuer.ts";

const COOLDOWN_MS = 5;
let now: number;
const clock = { ...systemClock, now: () => now };
let issuer: Issuer;

beforeEach(async () => {
  now = Date.now();
  issuer = await new Issuer().start();
  await issuer.rotate();
});
afterEach(() => issuer.stop());

const settings = (changes: Partial<OidcSettings> = {}): OidcSettings => ({
  issuer: issuer.url,
  audience: "ingot",
  algorithms: ["RS256", "ES256", "EdDSA"],
  clockToleranceSeconds: 10,
  nameClaim: "sub",
  groupsClaim: "groups",
  groups: () => [
    { group: "rack", grant: { role: "operator" } },
    { group: "lab", grant: { role: "member", project: "lab" } },
  ],
  ...changes,
});
const authenticator = (changes: Partial<OidcSettings> = {}, cooldownMs = COOLDOWN_MS) =>
  new OidcAuthenticator(settings(changes), { clock, cooldownMs });
const ask = (one: OidcAuthenticator, token: string) => one.authenticate({ scheme: "bearer", token });

describe("a token of the issuer's", () => {
  it("tells the name, and the roles of the groups that the configuration knows", async () => {
    const one = authenticator();
    const token = await issuer.sign(now, { groups: ["lab", "others", 7] });
    expect(await ask(one, token)).toEqual({
      name: "oidc:ada",
      user: "oidc:ada",
      grants: [{ role: "member", project: "lab" }],
    });
    expect(await ask(one, await issuer.sign(now, { groups: "rack" }))).toMatchObject({
      grants: [{ role: "operator" }],
    });
    for (const groups of [undefined, { lab: true }, "LAB", ["la", "b"]])
      expect(await ask(one, await issuer.sign(now, { groups }))).toMatchObject({ grants: [] });
    expect(issuer.asked).toEqual(["/.well-known/openid-configuration", "/keys"]);
  });

  it.each(["RS256", "ES256", "EdDSA"])("may be signed by %s", async (alg) => {
    await issuer.rotate({ alg, retire: true });
    expect(await ask(authenticator(), await issuer.sign(now))).toMatchObject({ name: "oidc:ada" });
  });

  it("has name and groups in the claims that the configuration says, also inside others", async () => {
    const one = authenticator({ nameClaim: "email", groupsClaim: "realm_access.roles" });
    const claims = { email: "ada@example.org", realm_access: { roles: ["rack"] }, groups: ["lab"] };
    expect(await ask(one, await issuer.sign(now, claims))).toMatchObject({
      name: "oidc:ada@example.org",
      grants: [{ role: "operator" }],
    });
    const url = authenticator({ groupsClaim: "https://example.org/groups" });
    expect(await ask(url, await issuer.sign(now, { "https://example.org/groups": ["lab"] }))).toMatchObject({
      grants: [{ project: "lab" }],
    });
  });

  it("is refused when it is for others, of others, without an end or without a name", async () => {
    const one = authenticator();
    for (const claims of [
      { aud: "another" },
      { aud: ["another"] },
      { iss: "http://127.0.0.1:1" },
      { iss: `${issuer.url}/` },
      { exp: undefined },
      { sub: undefined },
      { sub: "" },
      { sub: "ada\nroot" },
      { sub: 7 },
      { nbf: Math.floor(now / 1000) + 60 },
    ]) {
      expect(await ask(one, await issuer.sign(now, claims)), JSON.stringify(claims)).toBeUndefined();
    }
    expect(await ask(one, await issuer.sign(now, { aud: ["another", "ingot"] }))).toBeDefined();
  });

  it("expires, and it is said so, within the clock's tolerance", async () => {
    const one = authenticator();
    const token = await issuer.sign(now);
    now += 69_000;
    expect(await ask(one, token)).toBeDefined();
    now += 2_000;
    await expect(ask(one, token)).rejects.toMatchObject({ code: "UNAUTHENTICATED", message: "the token has expired" });
    // that is told of good ones alone
    const forged = await issuer.sign(
      now - 120_000,
      {},
      { ...(await new Issuer().rotate()), kid: issuer.keys[0]?.kid ?? "" },
    );
    expect(await ask(one, forged)).toBeUndefined();
  });
});

describe("what nobody has signed", () => {
  it("is refused: alg none, an HMAC with the public key, another's key, changed claims", async () => {
    const one = authenticator({ algorithms: ["RS256", "ES256"] });
    const { kid = "", publicKey } = await issuer.rotate({ alg: "RS256" });
    const good = await issuer.sign(now, { groups: [] });
    const [header, , signature] = good.split(".");
    const [, claims] = (await issuer.sign(now, { groups: ["rack"] })).split(".");
    const none = new UnsecuredJWT({ sub: "ada" }).setIssuer(issuer.url).setAudience("ingot").setExpirationTime("1m");
    const hmac = new SignJWT({ sub: "ada" })
      .setProtectedHeader({ alg: "HS256", kid })
      .setIssuer(issuer.url)
      .setAudience("ingot")
      .setExpirationTime("1m")
      .sign(new TextEncoder().encode(await exportSPKI(publicKey)));
    const others = { ...(await new Issuer().rotate({ alg: "RS256" })), kid };
    const unknown = { ...others, kid: "nobody-has-it" };
    for (const [what, token] of Object.entries({
      none: none.encode(),
      hmac: await hmac,
      changed: [header, claims, signature].join("."),
      unsigned: [header, claims, ""].join("."),
      others: await issuer.sign(now, {}, others),
      unknown: await issuer.sign(now, {}, unknown),
      noise: "eyJhbGciOiJSUzI1NiJ9.e30.e30",
    })) {
      expect(one.judges({ scheme: "bearer", token }), what).toBe(true);
      expect(await ask(one, token), what).toBeUndefined();
    }
    expect(await ask(one, good)).toBeDefined();
  });

  it("is refused by an algorithm that is not allowed, though the key is the issuer's", async () => {
    await issuer.rotate({ alg: "ES384" });
    expect(await ask(authenticator(), await issuer.sign(now))).toBeUndefined();
    expect(await ask(authenticator({ algorithms: ["ES384"] }), await issuer.sign(now))).toBeDefined();
  });

  it("is another's to judge when it is no such token", () => {
    const one = authenticator();
    for (const token of ["tok-0123456789ab.secret", "abc", "a.b", "a.b.c.d", "a.b c.d"])
      expect(one.judges({ scheme: "bearer", token }), token).toBe(false);
    expect(one.judges({ scheme: "basic", user: "a", password: "a.b.c" })).toBe(false);
    expect(one.judges({ scheme: "x-auth-token", token: "a.b.c" })).toBe(false);
  });
});

describe("the issuer's keys", () => {
  it("are asked for again when it signs with another one, and a retired one is believed no more", async () => {
    const one = authenticator({}, 0);
    const before = await issuer.sign(now);
    expect(await ask(one, before)).toBeDefined();
    await issuer.rotate();
    expect(await ask(one, await issuer.sign(now))).toBeDefined();
    expect(await ask(one, before)).toBeDefined();
    await issuer.rotate({ retire: true });
    expect(await ask(one, await issuer.sign(now))).toBeDefined();
    expect(await ask(one, before)).toBeUndefined();
  });

  it("are not asked for by each key id that somebody makes up", async () => {
    const one = authenticator({}, 600_000);
    expect(await ask(one, await issuer.sign(now))).toBeDefined();
    const stranger = await new Issuer().rotate();
    for (let at = 0; at < 20; at++)
      expect(await ask(one, await issuer.sign(now, {}, { ...stranger, kid: `made-up-${at}` }))).toBeUndefined();
    expect(issuer.asked.filter((path) => path === "/keys")).toHaveLength(1);
  });

  it("are where the configuration says, without a look at the discovery document", async () => {
    expect(await ask(authenticator({ jwksUrl: `${issuer.url}/keys` }), await issuer.sign(now))).toBeDefined();
    expect(issuer.asked).toEqual(["/keys"]);
  });

  it("are not believed of another issuer", async () => {
    issuer.claimsToBe = "https://somebody.example";
    await expect(ask(authenticator(), await issuer.sign(now))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("that can't be had refuse nobody: UNAVAILABLE, and the issuer is not asked by everybody who comes", async () => {
    const one = authenticator({}, 1_000);
    const token = await issuer.sign(now);
    issuer.failure = 503;
    const refused = {
      code: "UNAVAILABLE",
      details: { field: "api.oidc.issuer", reason: expect.stringContaining("503") },
    };
    for (let at = 0; at < 5; at++) await expect(ask(one, token)).rejects.toMatchObject(refused);
    await expect(one.probe(AbortSignal.timeout(5_000))).rejects.toMatchObject(refused);
    expect(issuer.asked).toHaveLength(2);
    issuer.failure = undefined;
    now += 1_000;
    expect(await ask(one, token)).toBeDefined();
    expect(await one.probe(AbortSignal.timeout(5_000))).toBe(`${issuer.url} has 1 keys`);
  });

  it("are not asked for by everybody who comes while their endpoint is down; those that are known go on", async () => {
    const one = authenticator({}, 1_000);
    const [known, first] = [issuer.keys[0], await issuer.sign(now)];
    expect(await ask(one, first)).toBeDefined();
    issuer.failing = "/keys";
    issuer.failure = 503;
    const stranger = await new Issuer().rotate();
    const cold = authenticator({}, 1_000);
    const before = issuer.asked.filter((path) => path === "/keys").length;
    for (let at = 0; at < 10; at++) {
      const token = await issuer.sign(now, {}, { ...stranger, kid: `made-up-${at}` });
      await expect(ask(cold, token)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    }
    expect(issuer.asked.filter((path) => path === "/keys")).toHaveLength(before + 1);
    expect(await ask(one, await issuer.sign(now, {}, known))).toBeDefined();
    now += 1_000;
    issuer.failure = undefined;
    expect(await ask(cold, first)).toBeDefined();
  });

  it("may be any of several where a token names none", async () => {
    const [first, second] = [issuer.keys[0]!, await issuer.rotate()];
    for (const key of [first, second]) {
      expect(await ask(authenticator(), await issuer.sign(now, {}, { ...key, kid: "" }))).toMatchObject({
        name: "oidc:ada",
      });
    }
    const stranger = { ...(await new Issuer().rotate()), kid: "" };
    expect(await ask(authenticator(), await issuer.sign(now, {}, stranger))).toBeUndefined();
    const expired = await issuer.sign(now - 120_000, {}, { ...second, kid: "" });
    await expect(ask(authenticator(), expired)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("that nobody answers for: UNAVAILABLE until it is back", async () => {
    const one = authenticator({}, 0);
    const token = await issuer.sign(now);
    await issuer.stop();
    await expect(ask(one, token)).rejects.toMatchObject({ code: "UNAVAILABLE", details: { reason: "ECONNREFUSED" } });
    await issuer.start();
    expect(await ask(one, token)).toBeDefined();
  });
});
