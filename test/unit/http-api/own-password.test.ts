import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Authenticator } from "../../../src/access/authenticator.ts";
import { LocalAuthenticator } from "../../../src/access/local-authenticator.ts";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { ApiWorld, askerOf, read } from "./api-world.ts";

const PRESENT = "correct horse battery";
const NEXT = "another one, as long";
const VIEWER = { role: "viewer", project: "default" } as const;

let world: ApiWorld;
let api: Api;
const { ask } = askerOf(() => api);
const basic = (password: string) => `Basic ${Buffer.from(`ada:${password}`).toString("base64")}`;
const as = (authorization: string, method: string, path: string, body?: object) =>
  api.request(
    path,
    {
      method,
      headers: { authorization, ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    },
    { source: "192.0.2.7" },
  );
const change = (authorization: string, body: object) => as(authorization, "POST", "/v1/self/password", body);
/** What ada gets by logging in. */
const login = async (name: string) =>
  `Bearer ${(await read(as(basic(PRESENT), "POST", "/v1/tokens", { name }))).secret}`;
const whoami = async (authorization: string) => (await as(authorization, "GET", "/v1/self")).status;

beforeEach(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
  await ask("POST", "/v1/users", { name: "ada", password: PRESENT, grants: [VIEWER] });
});
afterEach(() => world.end());

describe("a person's own password", () => {
  it("is changed by who shows the present one; other tokens of theirs go, nobody else's do", async () => {
    const [laptop, phone] = [await login("laptop"), await login("phone")];
    const ci = `Bearer ${(await read(ask("POST", "/v1/tokens", { name: "ci", grants: [VIEWER] }))).secret}`;
    const answer = await change(laptop, { present: PRESENT, password: NEXT });
    expect([answer.status, await read(answer)]).toEqual([200, { revoked: ["phone"] }]);
    expect(await Promise.all([laptop, phone, ci].map(whoami))).toEqual([200, 401, 200]);
    expect([await whoami(basic(PRESENT)), await whoami(basic(NEXT))]).toEqual([401, 200]);
  });

  it("leaves the tokens by choice", async () => {
    const phone = await login("phone");
    expect(await read(change(basic(PRESENT), { present: PRESENT, password: NEXT, keepTokens: true }))).toEqual({
      revoked: [],
    });
    expect(await whoami(phone)).toBe(200);
  });

  it("stays when the present one is wrong, which counts as a failed login of theirs", async () => {
    const laptop = await login("laptop");
    const wrong = { present: "not this one", password: NEXT };
    for (let time = 0; time < 5; time++)
      expect(await read(change(laptop, wrong))).toMatchObject({ status: 401, field: "present" });
    expect(await read(change(laptop, { present: PRESENT, password: NEXT }))).toMatchObject({ code: "THROTTLED" });
    expect(await read(as(basic(PRESENT), "GET", "/v1/self"))).toMatchObject({ code: "THROTTLED" });
    expect(await read(ask("GET", "/v1/users"))).toMatchObject([{ name: "ada" }]);
  });

  it.each([
    [{ present: PRESENT, password: "short" }, "password"],
    [{ present: PRESENT, password: PRESENT }, "password"],
    [{ password: NEXT }, "present"],
  ])("stays on bad input: %o", async (body, field) => {
    const laptop = await login("laptop");
    expect(await read(change(laptop, body))).toMatchObject({ status: 400, field });
    expect([await whoami(basic(PRESENT)), await whoami(laptop)]).toEqual([200, 200]);
  });

  it("is none of a token's that nobody owns, of the socket's, or of who logs in elsewhere", async () => {
    const { secret } = await read(ask("POST", "/v1/tokens", { name: "ci", grants: [{ role: "admin" }] }));
    const body = { present: PRESENT, password: NEXT };
    expect(await read(change(`Bearer ${secret}`, body))).toMatchObject({ code: "UNSUPPORTED" });
    expect(await read(ask("POST", "/v1/self/password", body))).toMatchObject({ code: "UNSUPPORTED" });
    const foreign: Authenticator = {
      name: "oidc",
      judges: ({ scheme }) => scheme === "bearer",
      authenticate: async () => ({ name: "oidc:ada", user: "oidc:ada", grants: [{ role: "admin" }] }),
    };
    api = createApi(world.parts, {
      ...world.gate,
      authenticators: [foreign, new LocalAuthenticator(world.appliance)],
    });
    expect(await read(change("Bearer a.b.c", body))).toMatchObject({ code: "UNSUPPORTED" });
    expect(await read(as("Bearer a.b.c", "GET", "/v1/self"))).toMatchObject({
      name: "oidc:ada",
      authenticator: "oidc",
    });
    expect(await read(as("Bearer a.b.c", "POST", "/v1/tokens", { name: "mine" }))).toMatchObject({ code: "FORBIDDEN" });
    expect(await whoami(basic(PRESENT))).toBe(200);
  });

  it("takes their tokens with it when an admin sets another one", async () => {
    const { secret } = await read(as(basic(PRESENT), "POST", "/v1/tokens", { name: "pad" }));
    const asPad = () => as(`Bearer ${secret}`, "GET", "/v1/self");
    expect((await asPad()).status).toBe(200);
    expect((await ask("PATCH", "/v1/users/ada", { grants: [VIEWER] })).status).toBe(200);
    expect((await asPad()).status).toBe(200);
    expect((await ask("PATCH", "/v1/users/ada", { password: NEXT })).status).toBe(200);
    expect((await asPad()).status).toBe(401);
  });

  it("is in the audit log when it changes, the passwords are not", async () => {
    await change(basic(PRESENT), { present: PRESENT, password: NEXT });
    const lines = await (await ask("GET", "/v1/audit/lines")).text();
    expect(lines).toMatch(/"who":"user:ada"[^\n]*"path":"\/v1\/self\/password"/);
    expect(lines + world.logged.join("")).not.toMatch(/correct horse|another one/);
  });
});
