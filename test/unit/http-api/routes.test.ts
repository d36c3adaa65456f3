import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ImageStore } from "../../../src/drivers/images/image-store.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { parseMac } from "../../../src/values/mac.ts";
import { MemoryPower } from "../../fakes/memory-power.ts";
import { ApiWorld, askerOf, LOCAL, PATIENT, read } from "./api-world.ts";

let world: ApiWorld;
let api: Api;

const { ask, over } = askerOf(() => api);

const NODE = {
  name: "node-1",
  nics: [{ mac: "52-54-00-AA-BB-01", network: "prov" }],
  firmware: "uefi",
  power: { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" },
};
const IMAGE = { name: "golden", path: "/import/golden.raw", format: "raw" };

beforeEach(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
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

  it("may have their power in HIL, under a name of their own there", async () => {
    const power = { driver: "hil", hilNode: "rack3-07" };
    expect(await read(ask("POST", "/v1/nodes", { ...NODE, power }))).toMatchObject({ power });
    const slash = { ...NODE, name: "node-2", power: { driver: "hil", hilNode: "a/b" } };
    expect((await ask("POST", "/v1/nodes", slash)).status).toBe(400);
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
    await ask("DELETE", "/v1/nodes/node-1");
    await ask("POST", "/v1/nodes", { ...NODE, name: "successor" });
    expect(await read(ask("GET", "/v1/nodes/successor/boots"))).toEqual([]);
  });
});

describe("images and disks", () => {
  it("are made, shown, snapshotted, reverted and removed", async () => {
    await ask("POST", "/v1/nodes", NODE);
    const imported = await over(ask("POST", "/v1/projects/default/images", { ...IMAGE, phonesHome: true }));
    expect(imported).toMatchObject({ kind: "import", state: "done", requestedBy: "local" });
    const [image] = await read(ask("GET", "/v1/projects/default/images"));
    expect(image).toMatchObject({ name: "golden", ready: true, phonesHome: true, sizeBytes: 1024 * 1024 });
    expect(await read(ask("GET", `/v1/projects/default/images/${image.id}`))).toEqual(image);
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden", diskName: "root" }));
    const disk = "/v1/projects/default/disks/root";
    expect(await over(ask("POST", `${disk}/snapshot`, { image: "later" }))).toMatchObject({ state: "done" });
    expect(await read(ask("GET", "/v1/projects/default/lineage"))).toMatchObject([
      { kind: "image", name: "golden", depth: 0 },
      { kind: "disk", name: "root", depth: 1, parent: image.id, node: "node-1" },
      { kind: "image", name: "later", depth: 2 },
    ]);
    expect((await ask("DELETE", disk)).status).toBe(409);
    expect((await ask("DELETE", "/v1/projects/default/images/golden")).status).toBe(409);
    await over(ask("POST", "/v1/nodes/node-1/deprovision", {}));
    expect(await read(ask("GET", disk))).toMatchObject({ name: "root", clean: true });
    expect(await over(ask("POST", `${disk}/revert`, { image: "later" }))).toMatchObject({ state: "done" });
    expect(await over(ask("DELETE", disk))).toMatchObject({ kind: "remove-disk", state: "done" });
    expect(await over(ask("DELETE", "/v1/projects/default/images/golden"))).toMatchObject({ state: "done" });
    expect((await read(ask("GET", "/v1/projects/default/images"))).map((one: { name: string }) => one.name)).toEqual([
      "later",
    ]);
  });

  it("are attached to running nodes, and detached", async () => {
    await ask("POST", "/v1/nodes", NODE);
    await over(ask("POST", "/v1/projects/default/images", IMAGE));
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden", diskName: "results" }));
    await over(ask("POST", "/v1/nodes/node-1/deprovision", {}));
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden", diskName: "root" }));
    const disk = "/v1/projects/default/disks/results";
    expect((await ask("POST", `${disk}/attach`, { node: "node-1", lun: 1 })).status).toBe(400);
    const begun = { kind: "attach", state: "done" };
    expect(await over(ask("POST", `${disk}/attach`, { node: "node-1", readOnly: true }))).toMatchObject(begun);
    expect(await read(ask("GET", disk))).toMatchObject({ node: "node-1", lun: 2, readOnly: true });
    const { boots } = await read(ask("GET", "/v1/nodes/node-1"));
    expect(boots.dataDisks).toMatchObject([{ disk: "results", lun: 2, readOnly: true }]);
    expect((await ask("POST", `${disk}/attach`, { node: "node-1" })).status).toBe(409);
    const released = await over(ask("POST", `${disk}/detach`, { unmounted: true }));
    expect(released).toMatchObject({ kind: "detach", state: "done" });
    expect(await read(ask("GET", disk))).not.toHaveProperty("lun");
  });
});

describe("an operation", () => {
  /** An import that goes on until it is aborted. */
  async function beginEndless() {
    const endless: ImageStore["import"] = (_request, progress, signal) => {
      progress(1, 4);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    Object.assign(world.world.images, { import: endless });
    return (await read(ask("POST", "/v1/projects/default/images", IMAGE))).id;
  }

  it("shows its progress, and is undone when it is cancelled", async () => {
    const path = `/v1/operations/${await beginEndless()}`;
    await expect
      .poll(() => read(ask("GET", path)), PATIENT)
      .toMatchObject({
        state: "running",
        progress: { step: "import-content", done: 1, total: 4, unit: "bytes" },
      });
    expect(await read(ask("POST", `${path}/cancel`))).toMatchObject({ cancelRequested: true });
    const ended = await read(ask("GET", `${path}?waitSeconds=20`));
    expect(ended).toMatchObject({ state: "undone", error: { code: "CANCELLED" } });
    expect(ended.progress).toBeUndefined();
    expect(await read(ask("GET", "/v1/projects/default/images"))).toEqual([]);
  });

  it("is retried only when it is stuck", async () => {
    const id = await beginEndless();
    expect((await ask("POST", `/v1/operations/${id}/retry`)).status).toBe(409);
    await ask("POST", `/v1/operations/${id}/cancel`);
  });

  it("is waited for no longer than asked, or than anybody listens", async () => {
    const path = `/v1/operations/${await beginEndless()}`;
    const began = performance.now();
    expect(await read(ask("GET", `${path}?waitSeconds=1`))).toMatchObject({ state: "running" });
    expect(performance.now() - began).toBeGreaterThan(900);
    const gone = AbortSignal.abort();
    const request = new Request(`http://ingot${path}?waitSeconds=60`, { signal: gone });
    expect(await read(api.request(request, {}, LOCAL))).toMatchObject({ state: "running" });
  });

  it("holds the node that it works on", async () => {
    const node = await read(ask("POST", "/v1/nodes", NODE));
    const begun = world.appliance.runner;
    world.world.power.set(node.id, Object.assign(new MemoryPower(), { on: () => new Promise<void>(() => {}) }));
    const { id } = await read(ask("POST", "/v1/nodes/node-1/power", { action: "on" }));
    expect(await read(ask("GET", "/v1/nodes/node-1"))).toMatchObject({ operation: id });
    expect(await read(ask("DELETE", "/v1/nodes/node-1"))).toMatchObject({ status: 409, code: "BUSY" });
    expect(await read(ask("GET", "/v1/system"))).toMatchObject({ operations: [{ id, state: "running" }] });
    await begun.stop();
  });
});

describe("the networks", () => {
  it("show whose each address is, and who is not known", async () => {
    await ask("POST", "/v1/nodes", NODE);
    await over(ask("POST", "/v1/projects/default/images", IMAGE));
    await over(ask("POST", "/v1/nodes/node-1/provision", { image: "golden" }));
    const [lease] = await read(ask("GET", "/v1/leases"));
    expect(lease).toMatchObject({ mac: "52:54:00:aa:bb:01", node: "node-1", state: "pinned" });
    expect(lease.expiresAt).toBeUndefined();
    const stranger = { mac: parseMac("52:54:00:00:00:99"), stage: "dhcp-firmware" as const, network: "prov" };
    world.discovered.sink({ ...stranger, at: 1000, client: { firmware: "bios", vendorClass: "PXEClient" } as never });
    expect(await read(ask("GET", "/v1/discovered"))).toEqual([
      {
        mac: "52:54:00:00:00:99",
        network: "prov",
        firmware: "bios",
        vendorClass: "PXEClient",
        firstSeenAt: "1970-01-01T00:00:01.000Z",
        lastSeenAt: "1970-01-01T00:00:01.000Z",
      },
    ]);
  });
});

describe("the appliance", () => {
  it("tells its state, whatever is down", async () => {
    await ask("POST", "/v1/nodes", NODE);
    expect(await read(ask("GET", "/v1/system"))).toMatchObject({
      appliance: "app-test",
      version: "0.0.0-test",
      networks: [{ name: "prov", subnet: "10.20.0.0/24", portals: ["10.20.0.1:3260"] }],
      pool: { filesystem: "memory" },
      counts: { nodes: 1, provisioned: 0, images: 0, disks: 0, leases: 0, discovered: 0 },
      operations: [],
    });
    world.world.images.usage = async () => {
      throw new ApplianceError("UNAVAILABLE", "storaged is not running");
    };
    expect(await read(ask("GET", "/v1/system"))).toMatchObject({
      pool: { code: "UNAVAILABLE", message: "storaged is not running" },
    });
  });
});
