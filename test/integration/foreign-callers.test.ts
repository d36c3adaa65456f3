import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createForeignAuthenticators } from "../../src/access/foreign-authenticators.ts";
import { type Config, configSchema } from "../../src/config/schema.ts";
import { createHilLogin } from "../../src/drivers/isolation/hil-login.ts";
import { type RunningApi, startApi } from "../../src/http/api/start-api.ts";
import { type HilRack, PASSWORD, startHilRack } from "../fakes/hil/rack.ts";
import { Issuer } from "../unit/access/issuer.ts";
import { ApiWorld } from "../unit/http-api/api-world.ts";

/** The command line, as its own process, over TCP, of people whom HIL or an issuer of OpenID Connect knows. */

const main = resolve(import.meta.dirname, "../../src/cli/main.ts");

let world: ApiWorld;
let hil: HilRack;
let issuer: Issuer;
let api: RunningApi;

beforeEach(async () => {
  [world, hil, issuer] = await Promise.all([ApiWorld.start(), startHilRack({ nodes: 1 }), new Issuer().start()]);
  await issuer.rotate();
  const { users, projects, clock } = world.appliance;
  await projects.add({ name: "lab" }, "local");
  const written = configSchema.parse({
    networks: [
      {
        name: "prov",
        interface: "lo",
        address: "127.0.0.1",
        subnet: "127.0.0.0/8",
        portals: [{ address: "127.0.0.1" }],
        tgtd: { control: 1 },
      },
    ],
    ...{ isolation: { hil: { url: hil.hil.url }, projects: { lab: "p" } } },
    api: {
      listen: { port: 25_022 },
      authenticators: ["hil", "oidc"],
      hil: { roles: [{ user: "tenant", role: "viewer", project: "default" }] },
      oidc: { issuer: issuer.url, audience: "ingot", roles: [{ group: "rack", role: "admin" }] },
    },
  });
  const runtimeDirectory = join(world.directory, "tcp");
  mkdirSync(runtimeDirectory);
  const { api: access, isolation } = written;
  const config: Config = { ...world.parts.config, runtimeDirectory, api: access, isolation };
  const hilLogin = createHilLogin(() => config.isolation.hil?.url);
  const foreignAuthenticators = createForeignAuthenticators({ config, hilLogin, users, projects, clock });
  api = await startApi({ ...world.parts, config, appliance: { ...world.appliance, foreignAuthenticators } });
});
afterEach(async () => {
  await Promise.all([api.stop(), hil.stop(), issuer.stop()]);
  await world.end();
});

type Run = { code: number | null; out: string; err: string };

function ingot(environment: NodeJS.ProcessEnv, ...args: string[]): Promise<Run> {
  const url = ["--url", `http://127.0.0.1:${api.tcp?.port}`];
  const child = spawn(process.execPath, [main, ...url, ...args], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const run: Run = { code: null, out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    run.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    run.err += text;
  });
  return new Promise((done) => child.on("close", (code) => done({ ...run, code })));
}

const secretFile = (name: string, secret: string) => {
  const file = join(world.directory, name);
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  return file;
};

it("are let in by HIL's password, keystone's token or the issuer's, each as whom they are", async () => {
  const byPassword = { INGOT_USER: "tenant", INGOT_PASSWORD_FILE: secretFile("password", PASSWORD) };
  expect(await ingot(byPassword, "whoami")).toMatchObject({
    out: "hil:tenant: viewer of default, member of lab (known by hil)\n",
  });
  expect(await ingot(byPassword, "status")).toMatchObject({ code: 10, err: expect.stringContaining("system:read") });
  hil.hil.world.tokens.set("keystone-1", { name: "tenant", admin: false, projects: new Set(["p"]) });
  expect((await ingot({ INGOT_KEYSTONE_TOKEN: "keystone-1" }, "whoami")).out).toMatch(
    /^hil:token-[0-9a-f]{12}: member of lab \(known by hil\)\n$/,
  );
  const token = await issuer.sign(Date.now(), { groups: ["rack"] });
  const tokenFile = ["--token-file", secretFile("token", token)];
  expect(await ingot({}, ...tokenFile, "whoami")).toMatchObject({ out: "oidc:ada: admin (known by oidc)\n" });
  expect(await ingot({ INGOT_TOKEN: token }, "project", "add", "dev")).toMatchObject({ code: 0 });
  const { out: audited } = await ingot({ INGOT_TOKEN: token }, "audit", "list");
  expect(audited).toMatch(/oidc:ada +POST \/projects +201/);
  expect(await ingot({ INGOT_TOKEN: `${token}x` }, "whoami")).toMatchObject({ code: 9 });
  expect(await ingot({ ...byPassword, INGOT_USER: "nobody" }, "whoami")).toMatchObject({ code: 9 });
  const passwd = ["user", "passwd", "--present-file", byPassword.INGOT_PASSWORD_FILE, "--password-file", "/dev/null"];
  expect(await ingot(byPassword, ...passwd)).toMatchObject({
    code: 8,
    err: expect.stringContaining("where you log in"),
  });
  expect(world.logged.join("")).not.toMatch(/keystone-1|battery-staple/);
  expect(world.logged.join("")).not.toContain(token.split(".")[1]);
});

it("wait for HIL and the issuer when these are down; the doctor says so, and Ingot's own people go on", async () => {
  const token = await issuer.sign(Date.now(), { groups: ["rack"] });
  const { out } = await ingot({ INGOT_TOKEN: token }, "doctor", "--json");
  const about = (text: string) => JSON.parse(text).filter((one: { check: string }) => one.check === "authenticators");
  expect(about(out)).toMatchObject([
    { subject: "hil", state: "ok" },
    { subject: "oidc", state: "ok" },
  ]);
  const { secret } = await world.appliance.tokens.add({ name: "ci", grants: [{ role: "admin" }] }, "local");
  await world.appliance.users.add(
    { name: "ada", password: PASSWORD, grants: [{ role: "viewer", project: "lab" }] },
    "local",
  );
  await Promise.all([hil.hil.stop(), issuer.stop()]);
  const password = secretFile("password", PASSWORD);
  expect(await ingot({ INGOT_USER: "tenant", INGOT_PASSWORD_FILE: password }, "whoami")).toMatchObject({ code: 5 });
  const { out: down } = await ingot({ INGOT_TOKEN: secret }, "doctor", "--json");
  expect(about(down)).toMatchObject([
    { subject: "hil", state: "failed", remedy: expect.stringContaining("HIL") },
    { subject: "oidc", state: "failed", remedy: expect.stringContaining("issuer") },
  ]);
  const ada = { INGOT_USER: "ada", INGOT_PASSWORD_FILE: password };
  expect(await ingot(ada, "whoami")).toMatchObject({ out: "user:ada: viewer of lab (known by local)\n" });
});

it("of Ingot's own change their password by showing the present one", async () => {
  const { users, tokens } = world.appliance;
  await users.add({ name: "ada", password: PASSWORD, grants: [{ role: "viewer", project: "lab" }] }, "local");
  await tokens.add({ name: "phone", grants: [{ role: "viewer", project: "lab" }], user: "ada" }, "user:ada");
  const [present, next] = [secretFile("present", PASSWORD), secretFile("next", "another one, as long")];
  const passwd = (from: string, to: string) =>
    ingot(
      { INGOT_USER: "ada", INGOT_PASSWORD_FILE: present },
      "user",
      "passwd",
      "--present-file",
      from,
      "--password-file",
      to,
    );
  expect(await passwd(next, next)).toMatchObject({
    code: 9,
    err: expect.stringContaining("present password is wrong"),
  });
  expect(await passwd(present, next)).toMatchObject({ out: "you have another password; revoked: phone\n" });
  expect(await passwd(present, next)).toMatchObject({
    code: 9,
    err: expect.stringContaining("user or password is wrong"),
  });
});
