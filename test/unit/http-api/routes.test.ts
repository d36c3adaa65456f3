import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { ApiWorld } from "./api-world.ts";

let world: ApiWorld;
let api: Api;

const LOCAL = { localCaller: { name: "local", role: "admin" as const } };
const ask = (method: string, path: string, body?: unknown) =>
  api.request(
    path,
    body === undefined
      ? { method }
      : { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } },
    LOCAL,
  );
// biome-ignore lint/suspicious/noExplicitAny: answers are judged by their content
const read = async (response: Response | Promise<Response>): Promise<any> => (await response).json();

const NODE = {
  name: "node-1",
  nics: [{ mac: "52-54-00-AA-BB-01", network: "prov" }],
  firmware: "uefi",
  power: { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" },
};
const IMAGE = { name: "golden", path: "/import/golden.raw", format: "raw" };

async function over(answer: Response | Promise<Response>) {
  const { id } = await read(answer);
  return read(ask("GET", `/v1/operations/${id}?waitSeconds=20`));
}

beforeEach(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts);
});
afterEach(() => world.end());

describe("nodes", () => {
  it("are registered, listed, shown and forgotten", async () => {
    const added = await ask("POST", "/v1/nodes", NODE);
    expect(added.status).toBe(201);
    expect(added.headers.get("Location")).toBe("/v1/nodes/node-1");
    const node = await read(added);
    expect(node).toMatchObject({
      name: "node-1",
      project: "default",
      nics: [{ mac: "52:54:00:aa:bb:01", role: "boot", network: "prov" }],
      loader: "auto",
      power: { driver: "ipmi", port: 623, passwordFile: "/etc/ingot/bmc" },
      requestedBy: "local",
    });
    expect(await read(ask("GET", "/v1/nodes"))).toEqual([node]);
    expect(await read(ask("GET", `/v1/nodes/${node.id}`))).toEqual(node);
    expect((await ask("DELETE", "/v1/nodes/node-1")).status).toBe(204);
    expect(await read(ask("GET", "/v1/nodes"))).toEqual([]);
  });

  it("are provisioned, shown with what they boot, and released", async () => {
    await ask("POST", "/v1/nodes", NODE);
    await over(ask("POST", "/v1/projects/default/images", IMAGE));
    const begun = await ask("POST", "/v1/nodes/node-1/provision", { image: "golden", diskName: "root" });
    expect(begun.status).toBe(202);
    const operation = await read(begun.clone());
    expect(begun.headers.get("Location")).toBe(`/v1/operations/${operation.id}`);
    const ended = await over(begun);
    expect(ended.state, JSON.stringify(ended.error)).toBe("done");
    expect(ended.steps.map((step: { state: string }) => step.state)).not.toContain("pending");
    expect(await read(ask("GET", "/v1/nodes/node-1"))).toMatchObject({
      boots: { disk: "root", network: "prov", once: false },
    });
    expect(await read(ask("GET", "/v1/projects/default/disks"))).toMatchObject([
      { name: "root", node: "node-1", image: "golden" },
    ]);
    expect(await read(ask("GET", "/v1/nodes/node-1/power"))).toEqual({ node: "node-1", power: "on" });
    const [boot] = await read(ask("GET", "/v1/nodes/node-1/boots"));
    expect(boot.stages.map((stage: { stage: string }) => stage.stage)).toContain("iscsi-login-os");
    expect(await over(ask("POST", "/v1/nodes/node-1/deprovision", { disk: "delete" }))).toMatchObject({
      state: "done",
    });
    expect(await read(ask("GET", "/v1/projects/default/disks"))).toEqual([]);
  });
});
