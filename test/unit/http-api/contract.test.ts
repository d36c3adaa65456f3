import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RIGHTS } from "../../../src/access/rights.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { checkRights } from "../../../src/http/api/route.ts";
import { ApiWorld } from "./api-world.ts";

let world: ApiWorld;
let api: Api;

const LOCAL = { localCaller: { name: "local", grants: [{ role: "admin" as const }] } };
const JSON_TYPE = { "Content-Type": "application/json" };
const send = (method: string, path: string, body: unknown, headers: Record<string, string> = JSON_TYPE) =>
  api.request(path, { method, headers, body: typeof body === "string" ? body : JSON.stringify(body) }, LOCAL);
// biome-ignore lint/suspicious/noExplicitAny: answers are judged by their content
const problem = async (response: Response | Promise<Response>): Promise<any> => {
  const answer = await response;
  expect(answer.headers.get("Content-Type")).toBe("application/problem+json");
  const body = (await answer.json()) as Record<string, unknown>;
  expect(body.status).toBe(answer.status);
  expect(body.requestId).toBe(answer.headers.get("X-Request-Id"));
  return body;
};

const NODE = {
  name: "node-1",
  nics: [{ mac: "52:54:00:aa:bb:01", network: "prov" }],
  firmware: "uefi",
  power: { driver: "manual" },
};

beforeEach(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
});
afterEach(() => world.end());

describe("rights", () => {
  it("are stated by every route, and shown in its description", async () => {
    const routes = api.routes.filter(({ method }) => method !== "ALL");
    expect(new Set(routes.map(({ method, path }) => `${method} ${path}`)).size).toBeGreaterThan(25);
    const { paths } = (await (await api.request("/v1/openapi.json", {}, LOCAL)).json()) as {
      paths: Record<string, Record<string, Record<string, unknown>>>;
    };
    for (const { method, path } of routes) {
      const described = paths[path.replaceAll(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()];
      expect(RIGHTS, `${method} ${path}`).toContain(described?.["x-right"]);
    }
  });

  it("keep the API from starting when a route states none", () => {
    api.get("/v1/backdoor", (c) => c.text("hello"));
    expect(() => checkRights(api)).toThrow("GET /v1/backdoor states no right");
  });

  it("keep a route without one shut even if it gets in", async () => {
    const open = createApi(world.parts, world.gate);
    const route = open.openAPIRegistry.definitions.find(
      (one) => one.type === "route" && one.route.path === "/v1/leases",
    );
    if (route?.type === "route") delete (route.route as Record<string, unknown>)["x-right"];
    expect((await open.request("/v1/leases", {}, LOCAL)).status).toBe(500);
  });

  it("are nobody's without a caller, whatever is asked", async () => {
    for (const path of ["/v1/nodes", "/v1/openapi.json", "/v1/nothing", "/v1/projects/other/images"]) {
      const answer = await api.request(path, {}, {});
      expect(answer.status, path).toBe(401);
      expect(answer.headers.get("WWW-Authenticate")).toBe("Bearer");
    }
  });
});

describe("bodies", () => {
  it.each([
    ["an unknown key", { ...NODE, firmware: undefined, frmware: "uefi" }, "frmware", 'did you mean "firmware"?'],
    ["an unknown key inside", { ...NODE, nics: [{ ...NODE.nics[0], netwrk: "x" }] }, "nics[0].netwrk", '"network"'],
    ["an unknown key in a union", { ...NODE, power: { driver: "manual", prt: 1 } }, "power.prt", '"port"'],
    ["a missing key", { name: "x", nics: NODE.nics, power: NODE.power }, "firmware", "add it"],
    ["a wrong word", { ...NODE, firmware: "efi" }, "firmware", '"uefi"'],
    ["a wrong type", { ...NODE, name: 7 }, "name", "text"],
    [
      "what has its own form",
      { ...NODE, nics: [{ mac: "52:54", network: "prov" }] },
      "nics[0].mac",
      "52:54:00:12:34:56",
    ],
    [
      "two passwords",
      { ...NODE, power: { driver: "ipmi", address: "a", user: "u" } },
      "power.passwordFile",
      "Environment",
    ],
  ])("are refused for %s, which is named", async (_, body, field, remedy) => {
    const found = await problem(send("POST", "/v1/nodes", body));
    expect(found).toMatchObject({ status: 400, code: "INVALID", field });
    expect(`${found.detail} ${found.remedy}`).toContain(remedy);
    expect(world.appliance.nodes.list()).toEqual([]);
  });

  it.each([
    ["is no JSON", "{", JSON_TYPE, 400],
    ["is of another type", JSON.stringify(NODE), { "Content-Type": "text/plain" }, 415],
    ["says no type", JSON.stringify(NODE), {}, 415],
    ["is form data", "name=x", { "Content-Type": "application/x-www-form-urlencoded" }, 415],
    ["is too long", JSON.stringify({ ...NODE, name: "x".repeat(1024 * 1024) }), JSON_TYPE, 413],
  ])("are refused when the body %s", async (_, body, headers, status) => {
    expect(await problem(send("POST", "/v1/nodes", body, headers as Record<string, string>))).toMatchObject({ status });
    expect(world.appliance.nodes.list()).toEqual([]);
  });

  it("are needed where there is something to say", async () => {
    const answer = await api.request("/v1/nodes", { method: "POST" }, LOCAL);
    expect(answer.status).toBe(400);
  });

  it("leave prototypes alone", async () => {
    const found = await problem(send("POST", "/v1/nodes", '{"__proto__": {"name": "x"}}'));
    expect(found.status).toBe(400);
    expect(({} as Record<string, unknown>).name).toBeUndefined();
  });
});

describe("queries", () => {
  it.each(["waitSeconds=x", "waitSeconds=61", "waitSeconds=-1", "wait=1"])("refuse ?%s", async (query) => {
    await send("POST", "/v1/projects/default/images", { name: "golden", path: "/import/x", format: "raw" });
    const [begun] = world.appliance.runner.list();
    expect(await problem(api.request(`/v1/operations/${begun?.id}?${query}`, {}, LOCAL))).toMatchObject({
      code: "INVALID",
    });
    await world.appliance.runner.settled(begun?.id ?? "");
  });
});

describe("problems", () => {
  it.each([
    ["GET", "/v1/nodes/nobody", 404, "NOT_FOUND"],
    ["DELETE", "/v1/nodes/nobody", 404, "NOT_FOUND"],
    ["GET", "/v1/projects/default/images/none", 404, "NOT_FOUND"],
    ["GET", "/v1/projects/other/images", 404, "NOT_FOUND"],
    ["GET", "/v1/projects/other/disks/x", 404, "NOT_FOUND"],
    ["GET", "/v1/operations/op-none", 404, "NOT_FOUND"],
    ["POST", "/v1/operations/op-none/retry", 404, "NOT_FOUND"],
    ["GET", "/v1/elsewhere", 404, "NOT_FOUND"],
    ["PUT", "/v1/nodes", 404, "NOT_FOUND"],
  ])("%s %s is %i with a remedy", async (method, path, status, code) => {
    const found = await problem(api.request(path, { method }, LOCAL));
    expect(found).toMatchObject({ status, code, remedy: expect.any(String) });
  });

  it("name field, value and remedy of a conflict", async () => {
    await send("POST", "/v1/nodes", NODE);
    expect(await problem(send("POST", "/v1/nodes", NODE))).toEqual({
      title: "Conflict",
      status: 409,
      detail: 'there is a node "node-1" already',
      code: "EXISTS",
      field: "name",
      value: "node-1",
      remedy: expect.any(String),
      requestId: expect.any(String),
    });
  });

  it.each([
    ["a bug", new TypeError("secret inner thing"), 500],
    ["a damaged file", new ApplianceError("CORRUPT", "secret inner thing"), 500],
  ])("show nothing internal of %s, and log it under the request's id", async (_, error, status) => {
    world.discovered.list = () => {
      throw error;
    };
    const found = await problem(api.request("/v1/discovered", {}, LOCAL));
    expect(found.status).toBe(status);
    expect(JSON.stringify(found)).not.toContain("secret inner thing");
    expect(found.remedy).toContain(found.requestId);
    const line = world.logged.map((one) => JSON.parse(one)).find(({ msg }) => msg === "request failed");
    expect(line).toMatchObject({ requestId: found.requestId, err: { message: "secret inner thing" } });
  });
});

describe("what is shown", () => {
  it("never holds CHAP credentials or what a password file holds", async () => {
    await send("POST", "/v1/nodes", NODE);
    await send("POST", "/v1/projects/default/images", { name: "golden", path: "/import/x", format: "raw" });
    await world.appliance.runner.settled(world.appliance.runner.list()[0]?.id ?? "");
    await send("POST", "/v1/nodes/node-1/provision", { image: "golden" });
    const [begun] = world.appliance.runner.list();
    await world.appliance.runner.settled(begun?.id ?? "");
    const entries = [...world.appliance.records.collection<{ chap: { secret: string } }>("bootEntries").values()];
    expect(entries).toHaveLength(1);
    const { paths } = (await (await api.request("/v1/openapi.json", {}, LOCAL)).json()) as { paths: object };
    const [disk] = world.appliance.disks.list();
    for (const path of Object.keys(paths)) {
      const asked = path
        .replace("{node}", "node-1")
        .replace("{project}", "default")
        .replace("{image}", "golden")
        .replace("{disk}", disk?.name ?? "")
        .replace("{operation}", begun?.id ?? "");
      const text = await (await api.request(asked, {}, LOCAL)).text();
      expect(text, path).not.toContain(entries[0]?.chap.secret);
      expect(text, path).not.toContain("chap-");
    }
    expect(world.logged.join("")).not.toContain(entries[0]?.chap.secret);
  });

  it("is described without gaps", async () => {
    const document = await (await api.request("/v1/openapi.json", {}, LOCAL)).json();
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
    expect(references.length).toBeGreaterThan(20);
    const { components } = document as { components: { schemas: object } };
    for (const [, name] of references) expect(components.schemas).toHaveProperty(name as string);
  });
});
