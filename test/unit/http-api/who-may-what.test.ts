import type { RouteConfig } from "@hono/zod-openapi";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Grant } from "../../../src/access/caller.ts";
import { admit } from "../../../src/http/api/admission.ts";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { isForAll } from "../../../src/http/api/route.ts";
import { ApiWorld, askerOf, read } from "./api-world.ts";

/**
 * Every route that the router has, asked by every role about things of its own project, of a foreign one, and of none: who is
 * let through, who is refused, and for whom there is nothing.
 */

const ROLES = ["admin", "operator", "member", "viewer", "foreign member"] as const;
type Role = (typeof ROLES)[number];

const GRANTS: Record<Role, Grant[]> = {
  admin: [{ role: "admin" }],
  operator: [{ role: "operator" }],
  member: [{ role: "member", project: "crimson" }],
  viewer: [{ role: "viewer", project: "crimson" }],
  "foreign member": [{ role: "member", project: "blue" }],
};

/** What a route that changes things is for: nobody else of these may. */
const MEMBERS = /provision|deprovision|power|console|disks|images|networks|uploads|operations/;
const ADMINS =
  /^(POST|DELETE) \/v1\/projects(\/:project(\/close)?)?$|^PATCH .*\/quota$|^POST \/v1\/system|^POST \/v1\/pool|\/export$|\/rbd-imports$|\/increments$|\/v1\/users|\/v1\/audit/;

const node = (name: string, project: string, mac: string) => ({
  name,
  project,
  nics: [{ mac, network: "prov", port: `port-${mac.slice(-1)}` }],
  isolatedAs: `node-${mac.slice(-1)}`,
  firmware: "uefi",
  power: { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" },
});

const JSON_TYPE = { "Content-Type": "application/json" };

let world: ApiWorld;
let api: Api;
let routes: { method: string; path: string }[];
const tokens = new Map<Role, string>();
const names: Record<string, Record<string, string>> = {};
const { ask, over } = askerOf(() => api);

const as = (role: Role, method: string, path: string, body?: unknown) =>
  api.request(
    path,
    {
      method,
      headers: { Authorization: `Bearer ${tokens.get(role)}`, ...(body ? { "Content-Type": "application/json" } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    },
    {},
  );

/** The route's path with the names of a project's things. */
const pathOf = (path: string, project: string) =>
  path.replaceAll(/:(\w+)/g, (_, name) => names[project]?.[name] ?? name);

beforeAll(async () => {
  world = await ApiWorld.start((made) => {
    made.isolated = true;
  });
  api = createApi(world.parts, world.gate);
  const seen = new Set<string>();
  routes = api.routes.filter(({ method, path }) => {
    const key = `${method} ${path}`;
    return method !== "ALL" && !seen.has(key) && seen.add(key);
  });
  for (const [project, mac] of [
    ["crimson", "52:54:00:aa:bb:01"],
    ["blue", "52:54:00:aa:bb:02"],
  ] as const) {
    await ask("POST", "/v1/projects", { name: project });
    await ask("POST", "/v1/nodes", node(`${project}-node`, project, mac));
    await over(
      ask("POST", `/v1/projects/${project}/images`, { name: `${project}-image`, path: "/import/x", format: "raw" }),
    );
    const provisioned = await over(
      ask("POST", `/v1/nodes/${project}-node/provision`, { image: `${project}-image`, diskName: `${project}-disk` }),
    );
    expect(provisioned.state, JSON.stringify(provisioned.error)).toBe("done");
    const made = await over(ask("POST", `/v1/projects/${project}/networks`, { name: `${project}-network` }));
    expect(made.state, JSON.stringify(made.error)).toBe("done");
    names[project] = {
      project,
      node: `${project}-node`,
      image: `${project}-image`,
      disk: `${project}-disk`,
      operation: provisioned.id,
      network: `${project}-network`,
    };
  }
  for (const role of ROLES) {
    const name = role.replace(" ", "-");
    tokens.set(role, (await read(ask("POST", "/v1/tokens", { name, grants: GRANTS[role] }))).secret);
  }
}, 60_000);
afterAll(() => world.end());

/** Whether a request came past the gate: what is wrong with it is told only then. */
const outcome = async (answer: Response) =>
  answer.status === 401 || answer.status === 403
    ? "no"
    : (await problemOf(answer)).code === "NOT_FOUND"
      ? "none"
      : "yes";

describe("every route", () => {
  it("lets through whom it is for, about their own, and there is nothing for others", async () => {
    const table: string[] = [];
    for (const { method, path } of routes) {
      // asked with a body that nobody takes: who gets as far as that is let through, and nothing changes
      const body = method === "GET" || method === "DELETE" ? undefined : { nobodyTakes: "this" };
      const isRead = method === "GET";
      const isOwned = /:(project|node|operation)/.test(path);
      const route = descriptionOf(method, path);
      const forAll = isForAll(route);
      const row: string[] = [];
      for (const role of ROLES) {
        const target = pathOf(path, "crimson");
        // deleting has no body to stop at: the gate is asked alone
        const found =
          method === "DELETE" ? gateFor(role, route, target) : await outcome(await as(role, method, target, body));
        row.push(found);
        const adminOnly = ADMINS.test(`${method} ${path}`);
        const label = `${role}: ${method} ${target}`;
        if (role === "admin") expect(found, label).not.toBe("no");
        else if (forAll) expect(found, label).not.toBe("no");
        else if (role === "operator") expect(found === "no", label).toBe(adminOnly);
        else if (!isOwned) expect(found, label).toBe("no");
        else if (role === "foreign member") expect(found, label).toBe("none");
        else if (isRead) expect(found === "no", label).toBe(role === "viewer" && /console/.test(path));
        else if (role === "viewer") expect(found, label).toBe("no");
        else expect(found === "no", label).toBe(adminOnly || !MEMBERS.test(path) || path === "/v1/nodes/:node");
      }
      table.push(`${`${method} ${path}`.padEnd(62)} ${row.map((one) => one.padEnd(5)).join(" ")}`);
    }
    console.log(
      [`${"route, about things of project crimson".padEnd(62)} admin oper. membr viewr foreign`, ...table].join("\n"),
    );
  }, 60_000);

  it("tells of foreign things what it tells of things that are nowhere", async () => {
    for (const { method, path } of routes) {
      if (!/:(project|node|operation)/.test(path)) continue;
      const body = method === "GET" || method === "DELETE" ? undefined : {};
      const nowhere = path.replaceAll(/:(\w+)/g, (_, name) => `no-${name}`);
      const [foreign, absent] = await Promise.all(
        [pathOf(path, "crimson"), nowhere].map(async (asked) => {
          const answer = await as("foreign member", method, asked, body);
          const { requestId: _, ...problem } = await problemOf(answer);
          let text = `${answer.status} ${JSON.stringify(problem)}`;
          const known = asked.includes("no-")
            ? Object.keys(names.crimson ?? {}).map((name) => `no-${name}`)
            : Object.values(names.crimson ?? {});
          for (const name of known) text = text.replaceAll(new RegExp(`(?<![\\w-])${name}(?![\\w-])`, "g"), "NAME");
          return text;
        }),
      );
      expect(foreign, `${method} ${path}`).toBe(absent);
    }
    expect(world.appliance.nodes.get("crimson-node").project).toBe("crimson");
    expect(world.appliance.disks.list("crimson")).toHaveLength(1);
    expect(world.appliance.images.list("crimson")).toHaveLength(1);
  });
});

describe("a foreign token", () => {
  it("changes and reveals nothing, whatever it sends", async () => {
    const state = () =>
      JSON.stringify(
        [
          ...["projects", "nodes", "images", "disks", "networks", "memberships", "bootEntries", "operations"],
          ...["quotas", "users", "tokens"],
        ].map((name) =>
          [...world.appliance.records.collection(name).entries()].filter(
            ([, record]) => !JSON.stringify(record).includes("blue"),
          ),
        ),
      );
    const [node] = world.appliance.nodes.list().filter(({ project }) => project === "crimson");
    const ids = [
      node?.id,
      world.appliance.disks.list("crimson")[0]?.id,
      world.appliance.images.list("crimson")[0]?.id,
      names.crimson?.operation,
    ].map(String);
    const before = state();
    const red = [...Object.values(names.crimson ?? {}), ...ids];
    const word = fc.constantFrom(...red, ...Object.values(names.blue ?? {}), "none", "default", "", "..", "%00", "x/y");
    const keys = [
      "name",
      "image",
      "disk",
      "node",
      "project",
      "to",
      "projects",
      "network",
      "nic",
      "data",
      "onto",
      "source",
      "from",
      "rbd",
    ];
    const body = fc.dictionary(
      fc.constantFrom(
        ...keys,
        "path",
        "format",
        "action",
        "public",
        "forceOff",
        "seenOff",
        "sizeBytes",
        "grants",
        "role",
      ),
      fc.oneof(
        word,
        fc.array(word, { maxLength: 2 }),
        fc.boolean(),
        fc.integer(),
        fc.constant("raw"),
        fc.constant("off"),
      ),
      { maxKeys: 4 },
    );
    const pathPart = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...red) }, word);
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: routes.length - 1 }),
        fc.array(pathPart, { minLength: 2, maxLength: 2 }),
        body,
        async (at, parts, content) => {
          const { method, path } = routes[at] as (typeof routes)[number];
          let part = 0;
          const asked = path.replaceAll(/:(\w+)/g, () => encodeURIComponent(parts[part++ % 2] ?? ""));
          // what it does to its own is its own business, and would be waited for
          if (/blue/.test(asked)) return;
          const sent = method === "GET" || method === "DELETE" ? undefined : content;
          const answer = await as("foreign member", method, asked, sent);
          const text = await answer.text();
          const known = `${asked} ${JSON.stringify(sent)}`;
          for (const one of red) if (!known.includes(one)) expect(text.includes(one), `${known}: ${text}`).toBe(false);
          expect(answer.status, `${known}: ${text}`).not.toBe(500);
        },
      ),
      { numRuns: 1500 },
    );
    expect(state()).toBe(before);
  }, 60_000);
});

describe("lists", () => {
  it("show a tenant what is theirs", async () => {
    const list = async (role: Role, path: string) => read(as(role, "GET", path));
    expect(await list("foreign member", "/v1/projects")).toMatchObject([{ name: "blue" }]);
    expect(await list("viewer", "/v1/nodes")).toMatchObject([{ name: "crimson-node", power: { driver: "ipmi" } }]);
    expect((await list("viewer", "/v1/nodes"))[0].power).toEqual({ driver: "ipmi" });
    expect((await list("operator", "/v1/nodes"))[0].power).toHaveProperty("address");
    const operations = await list("member", "/v1/operations");
    expect(operations.length).toBeGreaterThan(0);
    expect(new Set(operations.map(({ project }: { project: string }) => project))).toEqual(new Set(["crimson"]));
    expect((await list("admin", "/v1/operations")).length).toBeGreaterThan(operations.length);
    expect(await list("member", "/v1/tokens")).toEqual([]);
    expect(await list("member", "/v1/self")).toEqual({
      name: "token:member",
      authenticator: "local",
      grants: GRANTS.member,
    });
  });
});

describe("a project of a name that another one had", () => {
  it("has nothing of the other one's past", async () => {
    await ask("POST", "/v1/projects", { name: "teal" });
    const made = await over(ask("POST", "/v1/projects/teal/disks", { name: "secret", sizeBytes: 4096 }));
    await over(ask("DELETE", "/v1/projects/teal/disks/secret?now=true"));
    expect((await ask("DELETE", "/v1/projects/teal")).status).toBe(204);
    await ask("POST", "/v1/projects", { name: "teal" });
    const grants = [{ role: "member", project: "teal" }];
    const { secret } = await read(ask("POST", "/v1/tokens", { name: "teal", grants }));
    const get = (path: string) => api.request(path, { headers: { Authorization: `Bearer ${secret}` } }, {});
    expect(await read(get("/v1/operations"))).toEqual([]);
    expect((await get(`/v1/operations/${made.id}`)).status).toBe(404);
    expect(await read(get("/v1/usage"))).toEqual([]);
    const own = await over(ask("POST", "/v1/projects/teal/disks", { name: "own", sizeBytes: 4096 }));
    expect(await read(get("/v1/operations"))).toMatchObject([{ id: own.id }]);
    expect(await read(get("/v1/usage"))).toMatchObject([{ project: "teal" }]);
    expect((await ask("GET", `/v1/operations/${made.id}`)).status).toBe(200);
  });
});

function gateFor(role: Role, route: RouteConfig, path: string): string {
  try {
    admit(world.appliance, { name: role, grants: GRANTS[role] }, route, path);
    return "yes";
  } catch (error) {
    return (error as { code: string }).code === "FORBIDDEN" ? "no" : "none";
  }
}

function descriptionOf(method: string, path: string): RouteConfig {
  for (const one of api.openAPIRegistry.definitions) {
    if (one.type !== "route" || one.route.method.toUpperCase() !== method) continue;
    if (one.route.path.replaceAll(/\{(.+?)\}/g, ":$1") === path) return one.route;
  }
  throw new Error(`${method} ${path} is not described`);
}

async function problemOf(answer: Response): Promise<{ code?: string; requestId?: string }> {
  return answer.headers.get("Content-Type")?.match(/^application\/(problem\+)?json(;|$)/)
    ? JSON.parse((await answer.text()) || "{}")
    : {};
}

describe("a shared image", () => {
  it("tells its owner that others use it, not who, and its receivers not who else does", async () => {
    const image = "/v1/projects/blue/images/blue-image";
    const share = { projects: ["crimson", "nobody-has-this"] };
    expect((await as("foreign member", "POST", `${image}/share`, share)).status).toBe(200);
    await ask("POST", "/v1/nodes", node("third", "crimson", "52:54:00:aa:bb:03"));
    await over(ask("POST", "/v1/nodes/third/provision", { image: "blue-image", diskName: "third-disk" }));
    const refused = await read(as("foreign member", "DELETE", image));
    expect(refused).toMatchObject({ code: "IN_USE", usedBy: [{ kind: "disk", name: "blue-disk" }] });
    expect(refused.detail).toContain("disk blue-disk, 1 of other projects");
    expect(JSON.stringify(refused)).not.toMatch(/crimson|third/);
    expect((await read(as("operator", "DELETE", image))).usedBy).toContainEqual({
      ...{ kind: "disk", name: "third-disk", project: "crimson" },
    });
    const received = await read(as("viewer", "GET", "/v1/projects/crimson/images/blue-image"));
    expect(received).toMatchObject({ name: "blue-image", project: "blue", sharedWith: [] });
    const owned = await read(as("foreign member", "GET", image));
    expect(owned.sharedWith).toEqual(["crimson", "nobody-has-this"]);
    // who sees all projects is told of a name that is none
    expect(await read(ask("POST", `${image}/share`, { projects: ["nobody"] }))).toMatchObject({ code: "NOT_FOUND" });
    expect(await read(as("foreign member", "POST", `${image}/transfer`, { to: "crimson" }))).toMatchObject({
      code: "NOT_FOUND",
    });
    await over(ask("POST", "/v1/nodes/third/deprovision", { disk: "delete", now: true }));
    await ask("DELETE", "/v1/nodes/third");
  });
});

describe("a person", () => {
  const basic = (user: string) => `Basic ${Buffer.from(`${user}:correct horse battery`).toString("base64")}`;
  const newToken = (authorization: string, token: object) =>
    api.request(
      "/v1/tokens",
      { method: "POST", headers: { Authorization: authorization, ...JSON_TYPE }, body: JSON.stringify(token) },
      {},
    );

  it("gets tokens of their own that hold no more than they do, and who is admin others too", async () => {
    for (const [name, grants] of [
      ["eve", GRANTS.member],
      ["root", GRANTS.admin],
    ] as const) {
      await ask("POST", "/v1/users", { name, password: "correct horse battery", grants });
      expect(await read(newToken(basic(name), { name: `of-${name}` }))).toMatchObject({ user: name, grants });
    }
    const admin = [{ role: "admin" }];
    expect(await read(newToken(basic("eve"), { name: "more", grants: admin }))).toMatchObject({ code: "FORBIDDEN" });
    const less = { name: "less", grants: GRANTS.viewer };
    expect(await read(newToken(basic("eve"), less))).toMatchObject({ user: "eve", grants: GRANTS.viewer });
    const { user, ...given } = await read(newToken(basic("root"), { name: "given", grants: GRANTS.operator }));
    expect([user, given.grants]).toEqual([undefined, GRANTS.operator]);
    expect(await read(newToken(basic("root"), { name: "none", grants: [] }))).toMatchObject({ code: "INVALID" });
    // a token makes none, not even for the person that it is of
    const { secret } = await read(newToken(basic("eve"), { name: "again" }));
    expect(await read(newToken(`Bearer ${secret}`, { name: "child" }))).toMatchObject({ code: "FORBIDDEN" });
    expect((await ask("DELETE", "/v1/users/eve")).status).toBe(204);
    expect(await read(newToken(`Bearer ${secret}`, { name: "child" }))).toMatchObject({ code: "UNAUTHENTICATED" });
    await ask("DELETE", "/v1/users/root");
  });
});

describe("a request", () => {
  it("whose body comes slowly is judged by what its sender may do once it is here", async () => {
    const grants = GRANTS.admin;
    const { secret } = await read(ask("POST", "/v1/tokens", { name: "leaving", grants }));
    const late = async (meanwhile: () => Promise<unknown>) => {
      const waitedFor = Promise.withResolvers<void>();
      const arrival = Promise.withResolvers<void>();
      const body = new ReadableStream<Uint8Array>(
        {
          pull: async (controller) => {
            waitedFor.resolve();
            await arrival.promise;
            controller.enqueue(Buffer.from(JSON.stringify({ name: "kept", grants })));
            controller.close();
          },
        },
        { highWaterMark: 0 },
      );
      const headers = { Authorization: `Bearer ${secret}`, ...JSON_TYPE };
      const answer = api.request("/v1/tokens", { method: "POST", headers, body, duplex: "half" } as RequestInit, {});
      await waitedFor.promise;
      await meanwhile();
      const later = performance.now() + 60_000;
      const now = vi.spyOn(performance, "now").mockImplementation(() => later);
      arrival.resolve();
      const { status } = await answer;
      now.mockRestore();
      return status;
    };
    expect(await late(async () => {})).toBe(201);
    await world.appliance.tokens.remove("kept");
    expect(await late(() => world.appliance.tokens.remove("leaving"))).toBe(401);
    expect(world.appliance.tokens.list().map(({ name }) => name)).not.toContain("kept");
  });
});

describe("the audit log", () => {
  it("has who asked for what, what they got, and who was not let in; and no password", async () => {
    await ask("POST", "/v1/users", { name: "ada", password: "correct horse battery", grants: [] });
    await as("member", "DELETE", "/v1/nodes/blue-node");
    await as("viewer", "POST", "/v1/nodes/crimson-node/power", { action: "off" });
    await api.request("/v1/nodes", { headers: { Authorization: "Bearer wrong" } }, { source: "192.0.2.9" });
    const entries: { [fact: string]: unknown }[] = await read(as("admin", "GET", "/v1/audit?limit=1000"));
    const about = (path: string, who: string) =>
      entries
        .filter((one) => one.path === path && one.who === who)
        .map(({ kind, status, code }) => [kind, status, code].filter((one) => one !== undefined));
    expect(about("/v1/users", "local").slice(0, 2)).toEqual([["answer", 201], ["request"]]);
    expect(about("/v1/nodes/blue-node", "token:member").slice(0, 2)).toEqual([
      ["answer", 404, "NOT_FOUND"],
      ["request"],
    ]);
    expect(about("/v1/nodes/crimson-node/power", "token:viewer").slice(0, 2)).toEqual([
      ["answer", 403, "FORBIDDEN"],
      ["request"],
    ]);
    expect(entries).toContainEqual(
      expect.objectContaining({ from: "192.0.2.9", status: 401, code: "UNAUTHENTICATED" }),
    );
    const [provisioned] = await read(as("admin", "GET", `/v1/audit?operation=${names.crimson?.operation}`));
    expect(provisioned).toMatchObject({ path: "/v1/nodes/crimson-node/provision", project: "crimson", from: "local" });
    expect(JSON.stringify(entries)).not.toContain("correct horse");
    expect(await read(as("admin", "GET", "/v1/audit/verdict"))).toMatchObject({ faults: [] });
    expect(await read(as("admin", "GET", "/v1/audit?project=blue&who=local"))).not.toEqual([]);
    // a moment may be written with less than an entry has
    const [{ at, seq }] = entries as [{ at: string; seq: number }];
    for (const written of [at, at.replace(/\.\d+Z/, "Z")]) {
      const since: { seq: number }[] = await read(as("admin", "GET", `/v1/audit?since=${written}`));
      expect(
        since.map((entry) => entry.seq),
        written,
      ).toContain(seq);
    }
    const until: { seq: number }[] = await read(
      as("admin", "GET", `/v1/audit?limit=1000&until=${at.replace(/\.\d+Z/, "Z")}`),
    );
    expect(until.every((entry) => entry.seq < seq || at.endsWith(".000Z"))).toBe(true);
  });
});

describe("tenures", () => {
  it("tell who has a node, an address and a disk, and what that adds up to", async () => {
    const who = (query: string) => read(as("admin", "GET", `/v1/audit/who?${query}`));
    const [node] = await who("node=crimson-node");
    expect(node).toMatchObject({ project: "crimson", requestedBy: "local", operation: names.crimson?.operation });
    expect(await who(`address=${node.address}`)).toEqual([node]);
    expect(await who("disk=crimson-disk")).toMatchObject([{ kind: "disk", project: "crimson", node: "crimson-node" }]);
    expect(await who("node=crimson-node&at=2020-01-01T00:00:00Z")).toEqual([]);
    expect(await read(as("admin", "GET", "/v1/audit/who"))).toMatchObject({ code: "INVALID" });
    const own = await read(as("member", "GET", "/v1/usage"));
    expect(own).toMatchObject([{ project: "crimson" }]);
    expect(own[0].nodeHours).toBeGreaterThan(0);
    const all: { project: string }[] = await read(as("admin", "GET", "/v1/usage"));
    expect(all.map(({ project }) => project)).toEqual(expect.arrayContaining(["blue", "crimson"]));
  });
});
