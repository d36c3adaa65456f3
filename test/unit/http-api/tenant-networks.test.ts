import { afterEach, beforeEach, expect, it } from "vitest";
import { createApi } from "../../../src/http/api/create-api.ts";
import { ApiWorld, askerOf, read } from "./api-world.ts";

let world: ApiWorld;
let api: ReturnType<typeof createApi>;
const { ask, over } = askerOf(() => api);
const tokens = new Map<string, string>();

const as = (project: string, method: string, path: string, body?: unknown) =>
  api.request(
    path,
    {
      method,
      headers: { Authorization: `Bearer ${tokens.get(project)}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    },
    {},
  );

beforeEach(async () => {
  world = await ApiWorld.start((made) => {
    made.isolated = true;
  });
  api = createApi(world.parts, world.gate);
  for (const [project, number] of [
    ["red", 1],
    ["blue", 2],
  ] as const) {
    await ask("POST", "/v1/projects", { name: project });
    const nics = [
      { mac: `52:54:00:00:00:0${number}`, network: "prov", port: `port-${number}` },
      { mac: `52:54:01:00:00:0${number}`, role: "data", port: `other-${number}` },
    ];
    const power = { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" };
    await ask("POST", "/v1/nodes", { name: `node-${number}`, project, nics, firmware: "bios", power });
    await over(ask("POST", `/v1/projects/${project}/images`, { name: "golden", path: "/import/x", format: "raw" }));
    const { state, error } = await over(ask("POST", `/v1/nodes/node-${number}/provision`, { image: "golden" }));
    expect(state, JSON.stringify(error)).toBe("done");
    const grants = [{ role: "member", project }];
    tokens.set(project, (await read(ask("POST", "/v1/tokens", { name: project, grants }))).secret);
  }
});
afterEach(() => world.end());

const make = (project: string, name: string) => over(as(project, "POST", `/v1/projects/${project}/networks`, { name }));
const list = (project: string) => read(as(project, "GET", `/v1/projects/${project}/networks`));
const attach = (project: string, node: string, nic: string, network: string, channel = "native") =>
  as(project, "POST", `/v1/nodes/${node}/networks`, { nic, network, channel });
const networksOf = async (node: string) =>
  (await world.world.isolator.node(node)).nics.flatMap(({ networks }) => networks).map(({ network }) => network);

it("are made, seen by their project alone, used by its nodes, and removed once no NIC is in them", async () => {
  expect(await make("red", "storage")).toMatchObject({ state: "done", summary: "create network storage" });
  expect(await make("blue", "storage")).toMatchObject({ state: "done" });
  const [first, ...rest] = await list("red");
  expect(first).toMatchObject({ name: "storage", kind: "tenant", owner: "red", ready: true, members: [] });
  expect(rest).toEqual([{ name: "prov", kind: "provisioning", ready: true, members: [] }]);
  const [other] = await list("blue");
  expect(other.vlan).not.toBe(first.vlan);
  expect((await as("red", "GET", `/v1/projects/red/networks/${other.id}`)).status).toBe(404);
  expect((await as("red", "GET", "/v1/projects/blue/networks")).status).toBe(404);
  expect((await as("red", "POST", "/v1/projects/red/networks", { name: "storage" })).status).toBe(409);

  expect(await over(attach("red", "node-1", "other-1", "storage"))).toMatchObject({ state: "done" });
  expect(await read(as("red", "GET", "/v1/nodes/node-1"))).toMatchObject({
    nics: [{ networks: [] }, { networks: [{ network: "storage", channel: "native" }] }],
  });
  expect(await networksOf("node-1")).toHaveLength(2);
  const refused = await read(as("red", "DELETE", "/v1/projects/red/networks/storage"));
  expect(refused).toMatchObject({ code: "IN_USE", usedBy: [{ kind: "node", name: "node-1" }] });
  const detach = { nic: "52:54:01:00:00:01", network: "storage" };
  expect(await over(as("red", "POST", "/v1/nodes/node-1/networks/detach", detach))).toMatchObject({ state: "done" });
  expect((await as("red", "POST", "/v1/nodes/node-1/networks/detach", detach)).status).toBe(404);
  expect(await over(as("red", "DELETE", "/v1/projects/red/networks/storage"))).toMatchObject({ state: "done" });
  expect(await list("red")).toHaveLength(1);
});

it("are shared with other projects, and kept from them again once their NICs are out", async () => {
  await make("red", "storage");
  expect((await attach("blue", "node-2", "other-2", "red/storage")).status).toBe(404);
  const change = (verb: "share" | "unshare", project: string) =>
    as("red", "POST", `/v1/projects/red/networks/storage/${verb}`, { projects: [project] });
  expect(await over(change("share", "green"))).toMatchObject({ state: "done" });
  expect(await over(change("share", "blue"))).toMatchObject({ state: "done" });
  expect(await over(change("unshare", "green"))).toMatchObject({ state: "done" });
  expect((await list("blue"))[0]).toMatchObject({ name: "red/storage", owner: "red" });
  expect((await list("blue"))[0]).not.toHaveProperty("sharedWith");
  expect(await over(attach("blue", "node-2", "other-2", "red/storage"))).toMatchObject({ state: "done" });
  expect((await list("red"))[0]).toMatchObject({ sharedWith: ["blue"], members: [] });
  expect(await read(change("unshare", "blue"))).toMatchObject({ code: "IN_USE", field: "projects" });
  expect((await read(change("unshare", "blue"))).detail).not.toContain("blue");
  expect((await read(as("red", "DELETE", "/v1/projects/red/networks/storage"))).detail).not.toContain("node-2");
  await over(as("blue", "POST", "/v1/nodes/node-2/deprovision", { disk: "delete" }));
  expect(await networksOf("node-2")).toEqual([]);
  expect(await over(change("unshare", "blue"))).toMatchObject({ state: "done" });
  expect(await list("blue")).toHaveLength(1);
});

it("leave a NIC's provisioning network and its one untagged network alone, and VLANs to operators", async () => {
  await make("red", "storage");
  await make("red", "backup");
  expect(await read(attach("red", "node-1", "port-1", "storage"))).toMatchObject({
    code: "CONFLICT",
    field: "channel",
  });
  expect(await over(attach("red", "node-1", "port-1", "storage", "tagged"))).toMatchObject({ state: "done" });
  expect(await read(attach("red", "node-1", "port-1", "storage", "tagged"))).toMatchObject({ code: "EXISTS" });
  expect(await over(attach("red", "node-1", "other-1", "storage"))).toMatchObject({ state: "done" });
  expect(await read(attach("red", "node-1", "other-1", "backup"))).toMatchObject({ code: "CONFLICT" });
  expect(await read(attach("red", "node-1", "eth9", "backup"))).toMatchObject({ code: "NOT_FOUND", field: "nic" });
  const wish = { name: "wished", vlan: 777 };
  expect((await as("red", "POST", "/v1/projects/red/networks", wish)).status).toBe(403);
  expect(await read(ask("POST", "/v1/projects/red/networks", { name: "wished", vlan: 20 }))).toMatchObject({
    code: "CONFLICT",
  });
  await over(ask("POST", "/v1/projects/red/networks", wish));
  expect(await read(as("red", "GET", "/v1/projects/red/networks/wished"))).toMatchObject({ vlan: 777 });
  await ask("PATCH", "/v1/projects/red/quota", { networks: 3 });
  expect(await read(as("red", "POST", "/v1/projects/red/networks", { name: "more" }))).toMatchObject({ code: "QUOTA" });
  expect(await read(ask("DELETE", "/v1/projects/red"))).toMatchObject({ code: "IN_USE" });
});
