import { afterAll, beforeAll, expect, it } from "vitest";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { ApiWorld, askerOf, read } from "./api-world.ts";

let world: ApiWorld;
let api: Api;
const { ask, over } = askerOf(() => api);
const disk = "/v1/projects/default/disks/scratch";

beforeAll(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
  await over(ask("POST", "/v1/projects/default/disks", { name: "scratch", sizeBytes: 4096 }));
});
afterAll(() => world.end());

it("sets limits, leaves what is not named, ends them, and shows what there is", async () => {
  const set = async (change: object) => {
    const ended = await over(ask("PATCH", `${disk}/limits`, change));
    expect(ended).toMatchObject({ kind: "limit-disk", state: "done" });
    return (await read(ask("GET", disk))).limits;
  };
  expect(await set({ iops: 2000 })).toEqual({ iops: 2000 });
  expect(await set({ bytesPerSecond: 100 * 1024 ** 2 })).toEqual({ iops: 2000, bytesPerSecond: 100 * 1024 ** 2 });
  expect(await set({ iops: null })).toEqual({ bytesPerSecond: 100 * 1024 ** 2 });
  expect(await set({})).toEqual({ bytesPerSecond: 100 * 1024 ** 2 });
  expect(await set({ bytesPerSecond: null })).toBeUndefined();
});

it.each([
  [{ iops: 9 }, "iops"],
  [{ iops: -1 }, "iops"],
  [{ bytesPerSecond: 1024 }, "bytesPerSecond"],
  [{ bytesPerSecond: 2 ** 50 }, "bytesPerSecond"],
])("refuses %j, and changes nothing", async (change, field) => {
  const answer = await ask("PATCH", `${disk}/limits`, change);
  expect(answer.status).toBe(400);
  expect(await read(answer)).toMatchObject({ code: "INVALID", field });
  expect((await read(ask("GET", disk))).limits).toBeUndefined();
});

it("is for operators: a project's member may do everything else with its disks", async () => {
  const as = async (grant: object) => {
    const { secret } = await read(
      ask("POST", "/v1/tokens", { name: `for-${JSON.stringify(grant).length}`, grants: [grant] }),
    );
    const headers = { Authorization: `Bearer ${secret}`, "Content-Type": "application/json" };
    return api.request(`${disk}/limits`, { method: "PATCH", headers, body: JSON.stringify({ iops: 100 }) }, {});
  };
  expect((await as({ role: "member", project: "default" })).status).toBe(403);
  expect((await as({ role: "operator" })).status).toBe(202);
});
