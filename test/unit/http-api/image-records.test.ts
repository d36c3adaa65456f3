import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ImageStore } from "../../../src/drivers/images/image-store.ts";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { ApiWorld, askerOf, PATIENT, read } from "./api-world.ts";

let world: ApiWorld;
let api: Api;

const { ask, over } = askerOf(() => api);
const IMAGES = "/v1/projects/default/images";
const GOLDEN = `${IMAGES}/golden`;
const node = (name: string, last: number, project: string) => ({
  ...{ name, project, firmware: "uefi" },
  nics: [{ mac: `52:54:00:aa:bb:0${last}`, network: "prov" }],
  power: { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" },
});

beforeEach(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
  await over(ask("POST", IMAGES, { name: "golden", path: "/import/golden.raw", format: "raw" }));
});
afterEach(() => world.end());

describe("an image's record", () => {
  it("is renamed, described and labelled; what is not named stays", async () => {
    await ask("PATCH", GOLDEN, { description: "Debian 12", labels: { os: "debian", "site/rack": "7" } });
    const edit = { name: "renamed", labels: { os: null, release: "12" } };
    expect(await read(ask("PATCH", GOLDEN, edit))).toMatchObject({ name: "renamed", description: "Debian 12" });
    expect((await ask("GET", GOLDEN)).status).toBe(404);
    const renamed = await read(ask("GET", `${IMAGES}/renamed`));
    expect(renamed.labels).toEqual({ "site/rack": "7", release: "12" });
    expect((await read(ask("PATCH", `${IMAGES}/renamed`, { description: "" }))).description).toBeUndefined();
  });

  it.each([
    ["a name that can't be one", { name: "a/b" }, "name"],
    ["a description of two lines", { description: "a\nb" }, "description"],
    ["a description without end", { description: "x".repeat(1001) }, "description"],
    ["a label with an empty name", { labels: { "": "x" } }, "labels"],
    ["a label in capitals", { labels: { OS: "x" } }, "labels"],
    ["a label's value without end", { labels: { os: "x".repeat(256) } }, "labels.os"],
    [
      "too many labels",
      { labels: Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`l${index}`, ""])) },
      "labels",
    ],
    ["an unknown key", { nmae: "x" }, "nmae"],
  ])("refuses %s, and changes nothing", async (_, edit, field) => {
    const before = await read(ask("GET", GOLDEN));
    expect(await read(ask("PATCH", GOLDEN, edit))).toMatchObject({ status: 400, code: "INVALID", field });
    expect(await read(ask("GET", GOLDEN))).toEqual(before);
  });

  it("refuses a name in use, and any change while an operation makes the image", async () => {
    await over(ask("POST", `${GOLDEN}/copy`, { name: "other" }));
    expect(await read(ask("PATCH", GOLDEN, { name: "other" }))).toMatchObject({ code: "EXISTS" });
    const endless: ImageStore["import"] = (_request, _progress, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    Object.assign(world.world.images, { import: endless });
    const { id } = await read(ask("POST", IMAGES, { name: "late", path: "/import/late.raw", format: "raw" }));
    expect(await read(ask("PATCH", `${IMAGES}/late`, { name: "later" }))).toMatchObject({ code: "BUSY" });
    await ask("POST", `/v1/operations/${id}/cancel`);
  });

  it("is retired: nothing new is made of it, and its disks can be reverted", async () => {
    await ask("POST", "/v1/nodes", node("node-1", 1, "default"));
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden", diskName: "root" }));
    await over(ask("POST", "/v1/nodes/node-1/deprovision", {}));
    await ask("PATCH", GOLDEN, { retired: true });
    const refused = { status: 409, code: "CONFLICT", remedy: expect.stringContaining("--undo") };
    expect(await read(ask("POST", "/v1/nodes/node-1/provision", { image: "golden" }))).toMatchObject(refused);
    expect(await read(ask("POST", `${GOLDEN}/copy`, { name: "other" }))).toMatchObject(refused);
    expect(await over(ask("POST", "/v1/projects/default/disks/root/revert", {}))).toMatchObject({ state: "done" });
    await ask("PATCH", GOLDEN, { retired: false });
    expect(await over(ask("POST", `${GOLDEN}/copy`, { name: "other" }))).toMatchObject({ state: "done" });
  });

  it("stays as long as anything uses the image, which is named", async () => {
    await ask("POST", "/v1/nodes", node("node-1", 1, "default"));
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden", diskName: "root" }));
    const waiting = Promise.withResolvers<{ sizeBytes: number }>();
    Object.assign(world.world.images, { copy: () => waiting.promise });
    const copy = await read(ask("POST", `${GOLDEN}/copy`, { name: "other" }));
    expect(await read(ask("DELETE", GOLDEN))).toMatchObject({
      code: "IN_USE",
      detail: `image golden is used by disk root, operation ${copy.id}`,
      usedBy: [
        { kind: "disk", name: "root" },
        { kind: "operation", name: copy.id },
      ],
    });
    waiting.resolve({ sizeBytes: 1 });
    await read(ask("GET", `/v1/operations/${copy.id}?waitSeconds=20`));
    expect((await read(ask("DELETE", GOLDEN))).usedBy).toEqual([{ kind: "disk", name: "root" }]);
  });

  it("of a copy tells what was copied, and outlives it", async () => {
    await ask("PATCH", GOLDEN, { description: "Debian 12" });
    await over(ask("POST", `${GOLDEN}/copy`, { name: "other" }));
    const { id, sha256 } = await read(ask("GET", GOLDEN));
    const copy = await read(ask("GET", `${IMAGES}/other`));
    expect(copy).toMatchObject({ description: "Debian 12", sha256, ready: true });
    expect(copy.origin).toEqual({ kind: "copy", image: id, imageName: "golden", clean: true });
    expect(await over(ask("DELETE", GOLDEN))).toMatchObject({ state: "done" });
    expect(await read(ask("GET", "/v1/projects/default/lineage"))).toMatchObject([
      { kind: "image", id, depth: 0 },
      { kind: "image", name: "other", depth: 1 },
    ]);
  });
});

describe("projects", () => {
  it("are made, listed, and forgotten once they own nothing", async () => {
    expect((await ask("POST", "/v1/projects", { name: "lab", description: "Machines" })).status).toBe(201);
    expect(await read(ask("POST", "/v1/projects", { name: "lab" }))).toMatchObject({ code: "EXISTS" });
    expect(await read(ask("POST", "/v1/projects", { name: "default" }))).toMatchObject({ code: "EXISTS" });
    expect(await read(ask("POST", "/v1/projects", { name: "a/b" }))).toMatchObject({ code: "INVALID" });
    expect((await read(ask("GET", "/v1/projects"))).map((one: { name: string }) => one.name)).toEqual([
      "default",
      "lab",
    ]);
    expect(await read(ask("DELETE", "/v1/projects/default"))).toMatchObject({ code: "CONFLICT" });
    await ask("POST", "/v1/nodes", node("node-1", 1, "lab"));
    await over(ask("POST", "/v1/projects/lab/images", { name: "own", path: "/import/own.raw", format: "raw" }));
    expect(await read(ask("DELETE", "/v1/projects/lab"))).toMatchObject({
      code: "IN_USE",
      usedBy: [
        { kind: "node", name: "node-1" },
        { kind: "image", name: "own" },
      ],
    });
    await ask("DELETE", "/v1/nodes/node-1");
    await over(ask("DELETE", "/v1/projects/lab/images/own"));
    expect((await ask("DELETE", "/v1/projects/lab")).status).toBe(204);
    expect((await ask("GET", "/v1/projects/lab/images")).status).toBe(404);
    expect(await read(ask("POST", "/v1/nodes", node("node-1", 1, "lab")))).toMatchObject({ code: "NOT_FOUND" });
  });

  it("may have so many nodes provisioned at a time", async () => {
    await ask("POST", "/v1/projects", { name: "lab" });
    for (const at of [1, 2]) await ask("POST", "/v1/nodes", node(`node-${at}`, at, "lab"));
    await over(ask("POST", "/v1/projects/lab/images", { name: "own", path: "/import/own.raw", format: "raw" }));
    await ask("PATCH", "/v1/projects/lab/quota", { nodes: 1 });
    const provision = (name: string) => ask("POST", `/v1/nodes/${name}/provision`, { image: "own" });
    // the first counts from its beginning
    const first = provision("node-1");
    await first;
    expect(await read(provision("node-2"))).toMatchObject({ code: "QUOTA", field: "nodes" });
    expect((await read(ask("GET", "/v1/projects/lab/quota"))).used.nodes).toBe(1);
    await over(first);
    await over(ask("POST", "/v1/nodes/node-1/deprovision", { disk: "keep" }));
    expect(await over(provision("node-2"))).toMatchObject({ state: "done" });
  });

  it("get nothing more once they are gone, whatever was asked before", async () => {
    await ask("POST", "/v1/projects", { name: "lab" });
    // how full the pool is, is not known here: who begins something waits for a look at it
    const asked = [
      ask("POST", "/v1/projects/lab/images", { name: "late", path: "/import/late.raw", format: "raw" }),
      ask("POST", "/v1/projects/lab/disks", { name: "late", sizeBytes: 4096 }),
    ];
    expect((await ask("DELETE", "/v1/projects/lab")).status).toBe(204);
    for (const one of asked) expect(await read(one)).toMatchObject({ code: "NOT_FOUND", field: "project" });
    expect(world.appliance.images.list("lab")).toEqual([]);
    expect(world.appliance.disks.all("lab")).toEqual([]);
  });

  it("take their quota along", async () => {
    await ask("POST", "/v1/projects", { name: "lab" });
    await ask("PATCH", "/v1/projects/lab/quota", { images: 0 });
    expect((await ask("DELETE", "/v1/projects/lab")).status).toBe(204);
    await ask("POST", "/v1/projects", { name: "lab" });
    expect((await read(ask("GET", "/v1/projects/lab/quota"))).limits).toEqual({});
  });
});

describe("a shared image", () => {
  beforeEach(async () => {
    for (const [index, name] of ["lab", "web"].entries()) {
      await ask("POST", "/v1/projects", { name });
      await ask("POST", "/v1/nodes", node(`${name}-1`, index + 1, name));
    }
  });
  const provision = (name: string, image: string) =>
    ask("POST", `/v1/nodes/${name}/provision`, { image, diskName: "root" });
  const namesIn = async (project: string) =>
    (await read(ask("GET", `/v1/projects/${project}/images`))).map(
      (one: { name: string; project: string }) => `${one.project}/${one.name}`,
    );

  it("is cloned by those it is shared with, and by nobody else", async () => {
    expect((await provision("lab-1", "golden")).status).toBe(404);
    await ask("POST", `${GOLDEN}/share`, { projects: ["lab"] });
    expect(await namesIn("lab")).toEqual(["default/golden"]);
    expect(await namesIn("web")).toEqual([]);
    expect((await ask("GET", "/v1/projects/lab/images/default%2Fgolden")).status).toBe(200);
    expect(await over(provision("lab-1", "golden"))).toMatchObject({ state: "done", project: "lab" });
    expect((await provision("web-1", "default/golden")).status).toBe(404);
    await ask("POST", `${GOLDEN}/share`, { public: true });
    expect(await over(provision("web-1", "default/golden"))).toMatchObject({ state: "done" });
    expect(await read(ask("GET", "/v1/projects/web/disks/root"))).toMatchObject({ image: "default/golden" });
    expect(await read(ask("GET", "/v1/projects/web/lineage"))).toMatchObject([
      { name: "default/golden" },
      { name: "root", depth: 1 },
    ]);
    expect(await read(ask("DELETE", GOLDEN))).toMatchObject({
      usedBy: [
        { kind: "disk", name: "root", project: "lab" },
        { kind: "disk", name: "root", project: "web" },
      ],
    });
  });

  it("is changed and removed by its owner alone", async () => {
    await ask("POST", `${GOLDEN}/share`, { public: true });
    for (const [method, path, body] of [
      ["PATCH", "", { name: "mine" }],
      ["DELETE", "", undefined],
      ["POST", "/share", { public: true }],
      ["POST", "/transfer", { to: "lab" }],
    ] as const) {
      expect((await ask(method, `/v1/projects/lab/images/golden${path}`, body)).status, method + path).toBe(404);
    }
  });

  it("gives way to a project's own of that name, and to a choice where several are shared", async () => {
    await ask("POST", `${GOLDEN}/share`, { projects: ["lab"] });
    await over(ask("POST", "/v1/projects/web/images", { name: "golden", path: "/import/web.raw", format: "raw" }));
    await ask("POST", "/v1/projects/web/images/golden/share", { public: true });
    expect(await read(provision("lab-1", "golden"))).toMatchObject({
      code: "INVALID",
      remedy: "say which: default/golden, web/golden",
    });
    expect(await over(provision("lab-1", "web/golden"))).toMatchObject({ state: "done" });
    await over(ask("POST", "/v1/projects/lab/images/web%2Fgolden/copy", { name: "golden" }));
    expect(await read(ask("GET", "/v1/projects/lab/images/golden"))).toMatchObject({ project: "lab" });
  });

  it("is taken back from no disk", async () => {
    await ask("POST", `${GOLDEN}/share`, { projects: ["lab", "web"] });
    await over(provision("lab-1", "golden"));
    await over(ask("POST", "/v1/nodes/lab-1/deprovision", {}));
    expect((await read(ask("POST", `${GOLDEN}/unshare`, { projects: ["lab"] }))).sharedWith).toEqual(["web"]);
    expect((await provision("lab-1", "golden")).status).toBe(404);
    expect(await over(ask("POST", "/v1/projects/lab/disks/root/revert", {}))).toMatchObject({ state: "done" });
    expect(await over(ask("POST", "/v1/nodes/lab-1/provision", { disk: "root" }))).toMatchObject({ state: "done" });
  });

  it("is shared with no project that is not there, and no longer with one that went", async () => {
    expect(await read(ask("POST", `${GOLDEN}/share`, { projects: ["lab", "gone"] }))).toMatchObject({
      code: "NOT_FOUND",
      value: "gone",
    });
    expect((await read(ask("GET", GOLDEN))).sharedWith).toEqual([]);
    await ask("POST", `${GOLDEN}/share`, { projects: ["web"] });
    await ask("DELETE", "/v1/nodes/web-1");
    expect((await ask("DELETE", "/v1/projects/web")).status).toBe(204);
    expect((await read(ask("GET", GOLDEN))).sharedWith).toEqual([]);
  });

  it("goes to another owner; where it has disks, it can be read on", async () => {
    await ask("POST", "/v1/nodes", node("node-1", 5, "default"));
    await over(provision("node-1", "golden"));
    await over(ask("POST", "/v1/projects/web/images", { name: "golden", path: "/import/web.raw", format: "raw" }));
    expect(await read(ask("POST", `${GOLDEN}/transfer`, { to: "web" }))).toMatchObject({ code: "EXISTS" });
    expect(await read(ask("POST", `${GOLDEN}/transfer`, { to: "gone" }))).toMatchObject({ code: "NOT_FOUND" });
    expect(await read(ask("POST", `${GOLDEN}/transfer`, { to: "lab" }))).toMatchObject({
      project: "lab",
      sharedWith: ["default"],
    });
    expect(await namesIn("default")).toEqual(["lab/golden"]);
    await expect.poll(() => namesIn("lab"), PATIENT).toEqual(["lab/golden"]);
    expect(await read(ask("GET", "/v1/projects/default/disks/root"))).toMatchObject({ image: "lab/golden" });
  });
});
