import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createApi } from "../../../src/http/api/create-api.ts";
import { ApiWorld, askerOf, read } from "./api-world.ts";

const MAC = "52:54:00:00:00:01";
const NODE = {
  name: "node-1",
  nics: [{ mac: MAC, network: "prov", port: "port-1" }],
  firmware: "bios",
  power: { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" },
};

let world: ApiWorld;
let api: ReturnType<typeof createApi>;
const { ask, over } = askerOf(() => api);

beforeEach(async () => {
  world = await ApiWorld.start((made) => {
    made.isolated = true;
  });
  api = createApi(world.parts, world.gate);
  await ask("POST", "/v1/projects", { name: "blue" });
});
afterEach(() => world.end());

const node = () => read(ask("GET", "/v1/nodes/node-1"));
const isolated = async () => (await world.world.isolator.node("node-1")).project;

describe("where a node is cabled to", () => {
  it("is told when it is registered, or later, and checked against the isolator", async () => {
    const wrong = { ...NODE, nics: [{ ...NODE.nics[0], port: "port-9" }] };
    const refused = await ask("POST", "/v1/nodes", wrong);
    expect(refused.status).toBe(404);
    expect(await read(refused)).toMatchObject({ field: "port", remedy: "NICs that it has: port-1, other-1" });
    expect(await read(ask("GET", "/v1/nodes"))).toEqual([]);
    expect(await read(ask("POST", "/v1/nodes", NODE))).toMatchObject({ nics: [{ port: "port-1" }] });
    expect((await ask("PATCH", "/v1/nodes/node-1/cabling", { isolatedAs: "node-9" })).status).toBe(404);
    expect((await ask("PATCH", "/v1/nodes/node-1/cabling", { ports: [{ mac: MAC, port: "port-9" }] })).status).toBe(
      404,
    );
    const foreign = { ports: [{ mac: "52:54:00:00:00:09", port: "port-1" }] };
    expect((await ask("PATCH", "/v1/nodes/node-1/cabling", foreign)).status).toBe(404);
    expect(await node()).toMatchObject({ nics: [{ port: "port-1" }] });
    expect(await node()).not.toHaveProperty("isolatedAs");
    const away = await read(ask("PATCH", "/v1/nodes/node-1/cabling", { ports: [{ mac: MAC, port: null }] }));
    expect(away.nics[0]).not.toHaveProperty("port");
    const other = { isolatedAs: "node-2", ports: [{ mac: MAC, port: "port-2" }] };
    expect(await read(ask("PATCH", "/v1/nodes/node-1/cabling", other))).toMatchObject({ isolatedAs: "node-2" });
  });

  it("belongs to one NIC", async () => {
    await ask("POST", "/v1/nodes", NODE);
    const second = { ...NODE, name: "node-2", nics: [{ mac: "52:54:00:00:00:02", network: "prov", port: "port-1" }] };
    expect(await read(ask("POST", "/v1/nodes", second))).toMatchObject({
      code: "EXISTS",
      value: "port-1",
    });
    const called = { ...second, nics: [{ ...second.nics[0], port: "port-2" }], isolatedAs: "node-1" };
    expect(await read(ask("POST", "/v1/nodes", called))).toMatchObject({
      code: "EXISTS",
      value: "node-1",
    });
  });

  it("must be known before it is provisioned, and stays while it is", async () => {
    await ask("POST", "/v1/nodes", { ...NODE, nics: [{ mac: MAC, network: "prov" }] });
    await over(ask("POST", "/v1/projects/default/images", { name: "golden", path: "/import/x", format: "raw" }));
    const early = await read(ask("POST", "/v1/nodes/node-1/provision", { image: "golden" }));
    expect(early).toMatchObject({
      code: "INVALID",
      remedy: expect.stringContaining("ingot node cable node-1"),
    });
    await ask("PATCH", "/v1/nodes/node-1/cabling", { ports: [{ mac: MAC, port: "port-1" }] });
    const provisioned = await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden" }));
    expect(provisioned.state, JSON.stringify(provisioned.error)).toBe("done");
    expect(await isolated()).toBe("default");
    const late = { ports: [{ mac: MAC, port: null }] };
    expect(await read(ask("PATCH", "/v1/nodes/node-1/cabling", late))).toMatchObject({ code: "IN_USE" });
    await over(ask("POST", "/v1/nodes/node-1/deprovision", { disk: "delete" }));
    expect(await isolated()).toBeUndefined();
  });
});

describe("a node of another project's past", () => {
  it("goes back to it, or to others by an operator's word alone", async () => {
    await ask("POST", "/v1/nodes", NODE);
    await over(ask("POST", "/v1/projects/default/images", { name: "golden", path: "/import/x", format: "raw" }));
    const move = (project: string, unwiped?: boolean) =>
      ask("POST", "/v1/nodes/node-1/move", { project, ...(unwiped ? { unwiped } : {}) });
    expect((await move("blue")).status).toBe(200);
    expect((await move("default")).status).toBe(200);
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden" }));
    expect(await read(move("blue"))).toMatchObject({ code: "IN_USE" });
    expect(await read(ask("POST", "/v1/nodes/node-1/wiped"))).toMatchObject({ code: "CONFLICT" });
    await over(ask("POST", "/v1/nodes/node-1/deprovision", { disk: "delete" }));
    expect(await node()).toMatchObject({ dirty: { project: "default" } });
    expect((await move("default")).status).toBe(200);
    const refused = await read(move("blue"));
    expect(refused).toMatchObject({ code: "CONFLICT", remedy: expect.stringContaining("--unwiped") });
    expect(await read(move("blue", true))).toMatchObject({ project: "blue", dirty: { project: "default" } });
    // the word outlives the node, as the dirt does
    expect((await ask("DELETE", "/v1/nodes/node-1")).status).toBe(204);
    expect(await read(ask("POST", "/v1/nodes", { ...NODE, project: "blue" }))).toMatchObject({ project: "blue" });
    const words = (await read(ask("GET", "/v1/audit"))).map(({ summary }: { summary?: string }) => summary);
    expect(words).toContain("node node-1 from default to blue, drives unwiped since default had it");
    expect((await read(ask("POST", "/v1/nodes/node-1/wiped"))).dirty).toBeUndefined();
    expect((await move("default")).status).toBe(200);
    expect((await move("nowhere")).status).toBe(404);
  });

  it("is another's, though a later project has the name", async () => {
    await ask("POST", "/v1/projects", { name: "teal" });
    await ask("POST", "/v1/nodes", { ...NODE, project: "teal" });
    await over(ask("POST", "/v1/projects/teal/images", { name: "golden", path: "/import/x", format: "raw" }));
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden" }));
    expect(await over(ask("POST", "/v1/projects/teal/close", {}))).toMatchObject({ state: "done" });
    await over(ask("POST", "/v1/projects/default/images", { name: "golden", path: "/import/x", format: "raw" }));
    const provision = () => ask("POST", "/v1/nodes/node-1/provision", { image: "golden" });
    expect(await read(provision())).toMatchObject({ code: "CONFLICT", remedy: expect.stringContaining("--unwiped") });
    expect((await ask("POST", "/v1/nodes/node-1/move", { project: "default", unwiped: true })).status).toBe(200);
    expect(await over(provision())).toMatchObject({ state: "done" });
    await over(ask("POST", "/v1/nodes/node-1/deprovision", { disk: "delete" }));
    await ask("POST", "/v1/projects", { name: "teal" });
    const move = (unwiped: boolean) => ask("POST", "/v1/nodes/node-1/move", { project: "teal", unwiped });
    expect(await read(move(false))).toMatchObject({ code: "CONFLICT" });
    expect(await read(move(true))).toMatchObject({ project: "teal" });
  });

  it("keeps that past when it is removed, and registered again", async () => {
    await ask("POST", "/v1/nodes", { ...NODE, project: "blue" });
    await over(ask("POST", "/v1/projects/blue/images", { name: "golden", path: "/import/x", format: "raw" }));
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden" }));
    await over(ask("POST", "/v1/nodes/node-1/deprovision", { disk: "delete" }));
    expect((await ask("DELETE", "/v1/nodes/node-1")).status).toBe(204);
    expect(await read(ask("POST", "/v1/nodes", { ...NODE, name: "node-2", isolatedAs: "node-1" }))).toMatchObject({
      code: "CONFLICT",
      remedy: expect.stringMatching(/as blue's; .*--unwiped/),
    });
    expect(await read(ask("POST", "/v1/nodes", { ...NODE, project: "blue" }))).toMatchObject({
      dirty: { project: "blue" },
    });
    await ask("POST", "/v1/nodes/node-1/wiped");
    expect((await ask("DELETE", "/v1/nodes/node-1")).status).toBe(204);
    expect(await read(ask("POST", "/v1/nodes", NODE))).not.toHaveProperty("dirty");
  });
});
