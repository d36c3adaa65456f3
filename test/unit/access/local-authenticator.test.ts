import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FailedLogins } from "../../../src/access/failed-logins.ts";
import { LocalAuthenticator } from "../../../src/access/local-authenticator.ts";
import { isPassword } from "../../../src/access/password.ts";
import { TokenRegistry } from "../../../src/access/token-registry.ts";
import { UserRegistry } from "../../../src/access/user-registry.ts";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { authenticate, type Gate } from "../../../src/http/api/authenticate.ts";
import { createLog } from "../../../src/log.ts";
import { Store } from "../../../src/store/store.ts";

const MEMBER = { role: "member", project: "lab" } as const;
const ADMIN = { role: "admin" } as const;
const PASSWORD = "correct horse: battery";

let directory: string;
let store: Store;
let tokens: TokenRegistry;
let users: UserRegistry;
let gate: Gate;
let now: number;
const clock: Clock = { ...systemClock, now: () => now };

const bearer = (text: string, source?: string) => authenticate(gate, { authorization: `Bearer ${text}` }, source);
const basic = (user: string, password: string, source?: string) =>
  authenticate(gate, { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` }, source);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-access-"));
  store = await Store.open(directory, createLog("silent"), {});
  now = 1_000_000;
  tokens = new TokenRegistry({ records: store, clock });
  users = new UserRegistry({ records: store, tokens, clock });
  gate = { authenticators: [new LocalAuthenticator({ tokens, users })], failedLogins: new FailedLogins(clock) };
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

const onDisk = () =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
    .join("");

describe("a token", () => {
  it("opens the API until it is revoked, and is nowhere on the disk", async () => {
    const { token, secret } = await tokens.add({ name: "ci", grants: [MEMBER] }, "local");
    expect(await bearer(secret)).toEqual({ name: "token:ci", grants: [MEMBER], authenticator: "local" });
    expect(onDisk()).toContain(token.id);
    expect(onDisk()).not.toContain(secret.split(".")[1]);
    await tokens.remove("ci");
    await expect(bearer(secret)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await expect(tokens.remove("ci")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("opens nothing when it is wrong, in any part", async () => {
    const { secret } = await tokens.add({ name: "ci", grants: [ADMIN] }, "local");
    const other = await tokens.add({ name: "other", grants: [MEMBER] }, "local");
    const [id, rest = ""] = secret.split(".");
    const wrong = [
      id,
      rest,
      `${id}.`,
      `${id}.${rest.slice(1)}`,
      `${id}.${other.secret.split(".")[1]}`,
      secret.toUpperCase(),
    ];
    for (const text of [...wrong, `${secret}x`]) {
      await expect(bearer(text as string), text).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    }
  });

  it("expires", async () => {
    const { secret } = await tokens.add({ name: "ci", grants: [ADMIN], expiresAt: now + 1000 }, "local");
    now += 999;
    await bearer(secret);
    now += 1;
    await expect(bearer(secret)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await expect(tokens.add({ name: "late", grants: [ADMIN], expiresAt: now }, "local")).rejects.toMatchObject({
      code: "INVALID",
      details: { field: "expiresAt" },
    });
  });

  it("has a name of its own", async () => {
    await tokens.add({ name: "ci", grants: [ADMIN] }, "local");
    await expect(tokens.add({ name: "ci", grants: [ADMIN] }, "local")).rejects.toMatchObject({ code: "EXISTS" });
    await expect(tokens.add({ name: "C I", grants: [ADMIN] }, "local")).rejects.toMatchObject({ code: "INVALID" });
  });

  it("of a person holds no more than they do, and goes with them", async () => {
    await users.add({ name: "ada", password: PASSWORD, grants: [ADMIN] }, "local");
    const { secret } = await tokens.add({ name: "laptop", grants: [MEMBER, ADMIN], user: "ada" }, "user:ada");
    expect(await bearer(secret)).toEqual({
      name: "token:laptop",
      grants: [MEMBER, ADMIN],
      user: "ada",
      authenticator: "local",
    });
    await users.change("ada", { grants: [{ role: "viewer", project: "lab" }] });
    expect(await bearer(secret)).toMatchObject({ grants: [] });
    await users.change("ada", { grants: [MEMBER] });
    expect(await bearer(secret)).toMatchObject({ grants: [MEMBER] });
    await users.remove("ada");
    await expect(bearer(secret)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(tokens.list()).toEqual([]);
  });

  it("does not outlive the project that it is for", async () => {
    const { secret } = await tokens.add({ name: "lab", grants: [MEMBER] }, "local");
    const both = await tokens.add({ name: "both", grants: [MEMBER, { role: "operator" }] }, "local");
    await users.add({ name: "ada", password: PASSWORD, grants: [MEMBER] }, "local");
    await store.commit([...tokens.withoutProject("lab"), ...users.withoutProject("lab")]);
    await expect(bearer(secret)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(await bearer(both.secret)).toMatchObject({ grants: [{ role: "operator" }] });
    expect(users.get("ada").grants).toEqual([]);
  });
});

describe("a password", () => {
  it("lets its user in, and is nowhere on the disk", async () => {
    await users.add({ name: "ada", password: PASSWORD, grants: [MEMBER] }, "local");
    expect(await basic("ada", PASSWORD)).toEqual({
      name: "user:ada",
      grants: [MEMBER],
      user: "ada",
      isPerson: true,
      authenticator: "local",
    });
    expect(onDisk()).not.toContain(PASSWORD);
    for (const [user, password] of [
      ["ada", `${PASSWORD}x`],
      ["ada", ""],
      ["bob", PASSWORD],
      ["", PASSWORD],
      ["__proto__", PASSWORD],
    ] as const) {
      await expect(basic(user, password), user).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    }
    await users.change("ada", { password: "another one, long" });
    await expect(basic("ada", PASSWORD)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await basic("ada", "another one, long");
  });

  it.each([
    ["too short", "short"],
    ["too long", "x".repeat(1025)],
  ])("is refused when it is %s", async (_, password) => {
    const refused = { code: "INVALID", details: { field: "password" } };
    await expect(users.add({ name: "ada", password, grants: [] }, "local")).rejects.toMatchObject(refused);
    expect(users.list()).toEqual([]);
  });

  it("leaves the event loop alone while it is judged", async () => {
    await users.add({ name: "ada", password: PASSWORD, grants: [] }, "local");
    let turns = 0;
    let over = false;
    const count = (async () => {
      for (; !over; turns++) await new Promise((resolve) => setImmediate(resolve));
    })();
    await isPassword(PASSWORD, users.get("ada").password);
    over = true;
    await count;
    expect(turns).toBeGreaterThan(10);
  });

  it("is not judged for an endless line of callers", async () => {
    const asked = await Promise.allSettled(Array.from({ length: 60 }, (_, at) => basic(`user-${at}`, PASSWORD)));
    const codes = asked.map((one) => (one.status === "rejected" ? one.reason.code : "in"));
    expect(new Set(codes)).toEqual(new Set(["UNAUTHENTICATED", "UNAVAILABLE"]));
  });
});

describe("who guesses", () => {
  const guess = (user: string, source?: string) => basic(user, "wrong password", source).catch((error) => error);

  it("waits longer and longer, per user and per source, and an end to it comes", async () => {
    await users.add({ name: "ada", password: PASSWORD, grants: [] }, "local");
    for (let time = 0; time < 5; time++) expect((await guess("ada")).code).toBe("UNAUTHENTICATED");
    const told = await guess("ada");
    expect(told).toMatchObject({ code: "THROTTLED", details: { retryAfterSeconds: 1 } });
    // with the right password too, or it could be guessed meanwhile
    await expect(basic("ada", PASSWORD)).rejects.toMatchObject({ code: "THROTTLED" });
    now += 1000;
    expect((await guess("ada")).code).toBe("UNAUTHENTICATED");
    now += 1000;
    expect((await guess("ada")).details.retryAfterSeconds).toBe(1);
    now += 1000;
    await basic("ada", PASSWORD);
    expect((await guess("ada")).code).toBe("UNAUTHENTICATED");
    now += 3_600_000;
    for (let time = 0; time < 5; time++)
      expect((await guess(`user-${time}`, "192.0.2.7")).code).toBe("UNAUTHENTICATED");
    expect((await guess("user-9", "192.0.2.7")).code).toBe("THROTTLED");
    expect((await guess("user-9", "192.0.2.8")).code).toBe("UNAUTHENTICATED");
  });

  it("learns no more from many guesses at once than from one after the other", async () => {
    await users.add({ name: "ada", password: PASSWORD, grants: [] }, "local");
    const guesses = [...Array.from({ length: 12 }, (_, at) => `wrong password ${at}`), PASSWORD];
    const asked = await Promise.allSettled(guesses.map((password) => basic("ada", password)));
    const codes = asked.map((one) => (one.status === "rejected" ? one.reason.code : "in"));
    expect(codes.filter((code) => code === "UNAUTHENTICATED")).toHaveLength(5);
    expect(codes.filter((code) => code === "THROTTLED")).toHaveLength(8);
    // each of them counts
    expect((await guess("ada")).details.retryAfterSeconds).toBe(128);
  });

  it("does not shut out everybody behind a proxy on this machine", async () => {
    const { secret } = await tokens.add({ name: "ci", grants: [ADMIN] }, "local");
    for (let time = 0; time < 20; time++) await bearer("wrong", "127.0.0.1").catch(() => {});
    await bearer(secret, "127.0.0.1");
    for (let time = 0; time < 5; time++) await bearer("wrong", "192.0.2.7").catch(() => {});
    await expect(bearer(secret, "192.0.2.7")).rejects.toMatchObject({ code: "THROTTLED" });
  });

  it("fills no memory", () => {
    const failed = new FailedLogins(clock);
    for (let at = 0; at < 30_000; at++) failed.failed([`user ${at}`]);
    for (let time = 0; time < 5; time++) failed.failed(["user 29999"]);
    expect(() => failed.refuse(["user 29999"])).toThrow(/too many/);
    expect(() => failed.refuse(["user 1"])).not.toThrow();
  });
});
