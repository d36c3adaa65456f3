/**
 * An appliance loses its state directory while a machine runs on one of its disks: the machine notices nothing, the
 * records come back from the pool, and the disk is given to nobody else as long as the machine lives.
 */
import type { ChildProcess } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { AdoptionCandidate, Disk, Drift, Image, Operation, Status } from "../../src/cli/answers.ts";
import { ApiClient } from "../../src/cli/api-client.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { attachNodeSide, type NodeSide } from "../lab/node-side.ts";
import { createRack, type Rack } from "../lab/rack.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-lost-state";
const LIVING = { name: "node-1", mac: "52:54:00:00:00:01", address: "10.77.16.1" };
const OTHER = { name: "node-2", mac: "52:54:00:00:00:02", address: "10.77.16.2" };
const PATIENT = { timeout: 60_000, interval: 100 };

let rack: Rack;
let nodes: NodeSide;
let api: ApiClient;
let machine: ChildProcess;
let rounds = 0;
let complaint = "";
let lost: string;
let disk: Disk;

beforeAll(async () => {
  await destroyEverything(STATE);
  rack = await createRack({ stateDirectory: STATE, name: "loststat", control: 640, prefix: 16, storage: "file" });
  nodes = await attachNodeSide(rack, "10.77.254.254/16", "10.77.16.0/20");
  api = new ApiClient({ socket: rack.apiSocket });
});
afterAll(async () => {
  machine?.kill("SIGKILL");
  await destroyEverything(STATE);
});

type Machine = typeof LIVING;

async function register({ name, mac, address }: Machine): Promise<void> {
  const nics = [{ mac, role: "boot", network: "prov0", address }];
  await api.post("/v1/nodes", { name, nics, firmware: "bios", power: { driver: "manual" } });
}

const confirm = (node: string) =>
  until(`${node} asked for`, async () => {
    try {
      await api.post(`/v1/nodes/${node}/power/confirm`);
      return true;
    } catch {
      return false;
    }
  });
const stepOf = async ({ id }: Operation, name: string) =>
  (await api.get<Operation>(`/v1/operations/${id}`)).steps.find((step) => step.name === name)?.state;
const stateOf = async ({ id }: Operation) => (await api.get<Operation>(`/v1/operations/${id}`)).state;

/** Provisions as far as the boot entry: what follows waits for somebody to switch the machine on. */
async function provision({ name }: Machine, what: object): Promise<Operation> {
  const operation = await api.post<Operation>(`/v1/nodes/${name}/provision`, what);
  await confirm(name);
  return operation;
}

function boot({ mac, address }: Machine, ...more: string[]): void {
  const program = join(import.meta.dirname, "programs/live-machine.ts");
  machine = nodes.start([process.execPath, program, address, rack.addresses[0]!, mac, ...more], "pipe");
  [rounds, complaint] = [0, ""];
  machine.stdout?.on("data", (chunk: Buffer) => {
    rounds += chunk.toString().split("\n").length - 1;
  });
  machine.stderr?.on("data", (chunk: Buffer) => {
    complaint += chunk.toString();
  });
}

/** It goes on, from here. */
async function livesOn(): Promise<void> {
  const before = rounds;
  await expect.poll(() => [machine.exitCode, complaint, rounds > before + 20], PATIENT).toEqual([null, "", true]);
}

it("a machine runs on its disk", async () => {
  writeFileSync(join(rack.importDirectory, "tiny.raw"), Buffer.alloc(4 * 1024 * 1024, "image "));
  await rack.ingot("image", "import", "tiny", "--file", join(rack.importDirectory, "tiny.raw"), "--format", "raw");
  await register(LIVING);
  const operation = await provision(LIVING, { image: "tiny" });
  await expect.poll(() => stepOf(operation, "write-boot-entry"), PATIENT).toBe("succeeded");
  boot(LIVING);
  await livesOn();
  lost = (await api.get<Status>("/v1/system")).appliance;
  disk = (await api.get<Disk[]>("/v1/projects/default/disks"))[0] as Disk;
  await expect.poll(() => readdirSync(join(STATE, "pool", "records")).length, PATIENT).toBe(2);
});

it("goes on when the state directory is gone and ingotd starts empty", async () => {
  await rack.end("ingotd");
  for (const name of readdirSync(join(STATE, "state"))) rmSync(join(STATE, "state", name), { recursive: true });
  await rack.startIngotd();
  await livesOn();
  const { appliance, counts } = await api.get<Status>("/v1/system");
  expect([appliance === lost, counts.images, counts.disks]).toEqual([false, 0, 0]);
});

it("its disk and image come back by adoption, from the appliance that is gone", async () => {
  const seen = await rack.ingotJson<AdoptionCandidate[]>("adopt", "--dry-run");
  expect(
    seen.map(({ name, standing, appliance, node, adopted }) => [name, standing, appliance, node, adopted]),
  ).toEqual([
    ["tiny", "gone", lost, undefined, false],
    ["node-1-1", "gone", lost, "node-1", false],
  ]);
  expect(await rack.ingot("adopt", "--dry-run")).toMatch(/^ +node-1-1 +disk +4\.0 MiB +gone +app-\w+ +node-1$/m);
  await rack.ingot("adopt", "--from", lost, "--yes");
  const [image] = await api.get<Image[]>("/v1/projects/default/images");
  const [adopted] = await api.get<Disk[]>("/v1/projects/default/disks");
  expect([image?.name, adopted?.name, adopted?.id, adopted?.image]).toEqual(["tiny", "node-1-1", disk.id, "tiny"]);
  await livesOn();
  const drifts = await rack.ingotJson<Drift[]>("reconcile");
  expect(drifts.map(({ kind, id }) => [kind, id.split(":").slice(1)])).toEqual([["former-target", [lost, disk.id]]]);
});

it("nobody takes the disk from under it: it is not deleted, nor given to another machine", async () => {
  await expect(rack.ingot("disk", "rm", "node-1-1", "--yes")).rejects.toThrow(/is served as/);
  await register(OTHER);
  const operation = await provision(OTHER, { disk: "node-1-1" });
  await expect.poll(() => stateOf(operation), PATIENT).toBe("undone");
  const { error } = await api.get<Operation>(`/v1/operations/${operation.id}`);
  expect(error?.message).toContain(`in use by a machine at ${LIVING.address}`);
  await livesOn();
});

it("it takes its disk up again, with all that it wrote, once it was switched off", async () => {
  await register(LIVING);
  const operation = await api.post<Operation>(`/v1/nodes/${LIVING.name}/provision`, { disk: "node-1-1" });
  machine.kill("SIGKILL");
  await confirm(LIVING.name);
  await expect.poll(() => stepOf(operation, "write-boot-entry"), PATIENT).toBe("succeeded");
  boot(LIVING, "written by a living machine");
  await livesOn();
  expect(await rack.ingotJson<Drift[]>("reconcile")).toEqual([]);
});
