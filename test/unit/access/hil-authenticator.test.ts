import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FailedLogins } from "../../../src/access/failed-logins.ts";
import { HilAuthenticator, type HilSettings } from "../../../src/access/hil-authenticator.ts";
import { systemClock } from "../../../src/clock.ts";
import { createHilLogin } from "../../../src/drivers/isolation/hil-login.ts";
import { authenticate, type Gate } from "../../../src/http/api/authenticate.ts";
import { HilServer } from "../../fakes/hil/hil-server.ts";
import { type HilRack, PASSWORD, startHilRack } from "../../fakes/hil/rack.ts";

let rack: HilRack;
let url: string;
let now: number;
let settings: HilSettings;
let gate: Gate;
let hil: HilAuthenticator;
const clock = { ...systemClock, now: () => now };

beforeEach(async () => {
  rack = await startHilRack({ nodes: 1 });
  url = rack.hil.url;
  now = 1_000_000;
  settings = { cacheSeconds: 60, projectRole: "member", roles: [{ user: "tenant", grant: { role: "operator" } }] };
  hil = new HilAuthenticator({
    login: createHilLogin(() => url),
    settings: () => settings,
    projects: () => [
      { name: "lab", atHil: "p" },
      { name: "q", atHil: "q" },
      { name: "nowhere", atHil: "nowhere" },
    ],
    isLocalUser: (name) => name === "ada",
    clock,
  });
  gate = { authenticators: [hil], failedLogins: new FailedLogins(clock) };
});
afterEach(() => rack.stop());

const basic = (user: string, password: string, source?: string) =>
  authenticate(gate, { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` }, source);
const token = (authToken: string) => authenticate(gate, { authToken });
const asked = () => rack.hil.seen.length;

describe("a user of HIL", () => {
  it("has the roles of the table, and one in each project that HIL lets them have", async () => {
    expect(await basic("tenant", PASSWORD)).toEqual({
      name: "hil:tenant",
      user: "hil:tenant",
      authenticator: "hil",
      grants: [{ role: "operator" }, { role: "member", project: "lab" }],
    });
    expect((await basic("admin", PASSWORD)).grants).toEqual([
      { role: "member", project: "lab" },
      { role: "member", project: "q" },
    ]);
    settings = { ...settings, projectRole: "none", roles: [] };
    now += 60_000;
    expect((await basic("tenant", PASSWORD)).grants).toEqual([]);
  });

  it("may show keystone's token; whose it is HIL does not tell", async () => {
    rack.hil.world.tokens.set("keystone-token-1", { name: "tenant", admin: false, projects: new Set(["q"]) });
    const caller = await token("keystone-token-1");
    expect(caller).toMatchObject({ grants: [{ role: "member", project: "q" }], authenticator: "hil" });
    expect(caller.name).toMatch(/^hil:token-[0-9a-f]{12}$/);
    expect(caller.user).toBeUndefined();
    for (const wrong of ["keystone-token-2", "keystone token", "ünknown"])
      await expect(token(wrong), wrong).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("is nobody with another password, another name, or none", async () => {
    for (const [user, password] of [
      ["tenant", "wrong"],
      ["tenant", ""],
      ["nobody", PASSWORD],
      ["", PASSWORD],
      ["ten\nant", PASSWORD],
    ] as const)
      await expect(basic(user, password), user).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("is never one of Ingot's own: their password is not shown to HIL", async () => {
    rack.hil.world.users.set("ada", { password: PASSWORD, admin: true, projects: new Set() });
    await expect(basic("ada", PASSWORD)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(asked()).toBe(0);
  });

  it("waits after failures as anybody does, whatever HIL would say then", async () => {
    for (let time = 0; time < 5; time++)
      await expect(basic("tenant", "wrong")).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await expect(basic("tenant", PASSWORD)).rejects.toMatchObject({ code: "THROTTLED" });
    for (let time = 0; time < 5; time++) await basic(`user-${time}`, "wrong", "192.0.2.7").catch(() => {});
    await expect(basic("admin", PASSWORD, "192.0.2.7")).rejects.toMatchObject({ code: "THROTTLED" });
  });
});

describe("what HIL said", () => {
  it("is kept for a while, no for a few seconds, and asked for once by many at a time", async () => {
    await Promise.all(Array.from({ length: 10 }, () => basic("tenant", PASSWORD)));
    const once = asked();
    now += 59_999;
    await basic("tenant", PASSWORD);
    expect(asked()).toBe(once);
    rack.hil.world.users.delete("tenant");
    now += 1;
    await expect(basic("tenant", PASSWORD)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    rack.hil.world.users.set("tenant", { password: PASSWORD, admin: false, projects: new Set(["p"]) });
    await expect(basic("tenant", PASSWORD)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    now += 5_000;
    await basic("tenant", PASSWORD);
  });

  it("holds for one password alone", async () => {
    await basic("tenant", PASSWORD);
    await expect(basic("tenant", `${PASSWORD}x`)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await basic("tenant", PASSWORD);
  });

  it("fills no memory: a thousand and one later it is asked again", async () => {
    await basic("tenant", PASSWORD);
    for (let at = 0; at < 1_000; at++) await hil.authenticate({ scheme: "x-auth-token", token: `made-up-${at}` });
    const before = asked();
    await basic("tenant", PASSWORD);
    expect(asked()).toBeGreaterThan(before);
  }, 60_000);
});

describe("HIL that can't tell", () => {
  const unavailable = { code: "UNAVAILABLE", details: { driver: "hil" } };

  it("refuses nobody when it is down: UNAVAILABLE, and no failure of who asked", async () => {
    await rack.hil.stop();
    for (let time = 0; time < 7; time++) await expect(basic("tenant", PASSWORD)).rejects.toMatchObject(unavailable);
    await expect(hil.probe(AbortSignal.timeout(5_000))).rejects.toMatchObject(unavailable);
  });

  it("lets nobody in when it asks nobody who they are", async () => {
    const open = await new HilServer({ auth: "null" }).start();
    url = open.url;
    await expect(basic("tenant", PASSWORD)).rejects.toMatchObject(unavailable);
    await expect(token("anything")).rejects.toMatchObject({ details: { field: "api.authenticators" } });
    await expect(hil.probe(AbortSignal.timeout(5_000))).rejects.toMatchObject(unavailable);
    await open.stop();
  });

  it("is found to answer by who looks", async () => {
    expect(await hil.probe(AbortSignal.timeout(5_000))).toBe(`${url} answers`);
  });

  it("is not made to judge an endless line of passwords", async () => {
    const all = await Promise.allSettled(Array.from({ length: 60 }, (_, at) => basic(`user-${at}`, PASSWORD)));
    const codes = all.map((one) => (one.status === "rejected" ? one.reason.code : "in"));
    expect(new Set(codes)).toEqual(new Set(["UNAUTHENTICATED", "UNAVAILABLE"]));
  });
});
