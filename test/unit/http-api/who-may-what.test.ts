import type { RouteConfig } from "@hono/zod-openapi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
  member: [{ role: "member", project: "red" }],
  viewer: [{ role: "viewer", project: "red" }],
  "foreign member": [{ role: "member", project: "blue" }],
};

/** What a route that changes things is for: nobody else of these may. */
const MEMBERS = /provision|deprovision|power|disks|images|uploads|operations/;
const ADMINS =
  /^(POST|DELETE) \/v1\/projects(\/:project)?$|^PATCH .*\/quota$|^POST \/v1\/system|^POST \/v1\/pool|\/export$|\/rbd-imports$|\/increments$|\/v1\/users/;

const node = (name: string, project: string, mac: string) => ({
  name,
  project,
  nics: [{ mac, network: "prov" }],
  firmware: "uefi",
  power: { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" },
});

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
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
  const seen = new Set<string>();
  routes = api.routes.filter(({ method, path }) => {
    const key = `${method} ${path}`;
    return method !== "ALL" && !seen.has(key) && seen.add(key);
  });
  for (const [project, mac] of [
    ["red", "52:54:00:aa:bb:01"],
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
    names[project] = {
      project,
      node: `${project}-node`,
      image: `${project}-image`,
      disk: `${project}-disk`,
      operation: provisioned.id,
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
        const target = pathOf(path, "red");
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
        else if (isRead) expect(found, label).not.toBe("no");
        else if (role === "viewer") expect(found, label).toBe("no");
        else expect(found === "no", label).toBe(adminOnly || !MEMBERS.test(path) || path === "/v1/nodes/:node");
      }
      table.push(`${`${method} ${path}`.padEnd(62)} ${row.map((one) => one.padEnd(5)).join(" ")}`);
    }
    console.log(
      [`${"route, about things of project red".padEnd(62)} admin oper. membr viewr foreign`, ...table].join("\n"),
    );
  }, 60_000);

  it("tells of foreign things what it tells of things that are nowhere", async () => {
    for (const { method, path } of routes) {
      if (!/:(project|node|operation)/.test(path)) continue;
      const body = method === "GET" || method === "DELETE" ? undefined : {};
      const nowhere = path.replaceAll(/:(\w+)/g, (_, name) => `no-${name}`);
      const [foreign, absent] = await Promise.all(
        [pathOf(path, "red"), nowhere].map(async (asked) => {
          const answer = await as("foreign member", method, asked, body);
          const { requestId: _, ...problem } = await problemOf(answer);
          let text = `${answer.status} ${JSON.stringify(problem)}`;
          const known = asked.includes("no-")
            ? Object.keys(names.red ?? {}).map((name) => `no-${name}`)
            : Object.values(names.red ?? {});
          for (const name of known) text = text.replaceAll(new RegExp(`(?<![\\w-])${name}(?![\\w-])`, "g"), "NAME");
          return text;
        }),
      );
      expect(foreign, `${method} ${path}`).toBe(absent);
    }
    expect(world.appliance.nodes.get("red-node").project).toBe("red");
    expect(world.appliance.disks.list("red")).toHaveLength(1);
    expect(world.appliance.images.list("red")).toHaveLength(1);
  });
});

describe("lists", () => {
  it("show a tenant what is theirs", async () => {
    const list = async (role: Role, path: string) => read(as(role, "GET", path));
    expect(await list("foreign member", "/v1/projects")).toMatchObject([{ name: "blue" }]);
    expect(await list("viewer", "/v1/nodes")).toMatchObject([{ name: "red-node", power: { driver: "ipmi" } }]);
    expect((await list("viewer", "/v1/nodes"))[0].power).toEqual({ driver: "ipmi" });
    expect((await list("operator", "/v1/nodes"))[0].power).toHaveProperty("address");
    const operations = await list("member", "/v1/operations");
    expect(operations.length).toBeGreaterThan(0);
    expect(new Set(operations.map(({ project }: { project: string }) => project))).toEqual(new Set(["red"]));
    expect((await list("admin", "/v1/operations")).length).toBeGreaterThan(operations.length);
    expect(await list("member", "/v1/tokens")).toEqual([]);
    expect(await list("member", "/v1/self")).toEqual({ name: "token:member", grants: GRANTS.member });
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
  return answer.headers.get("Content-Type")?.includes("json") ? JSON.parse((await answer.text()) || "{}") : {};
}
