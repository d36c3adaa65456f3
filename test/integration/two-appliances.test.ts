/**
 * Two appliances, each a whole one with its own network, on one Ceph pool: both work at once, one is killed in the middle;
 * nothing of one ends up with the other, and nothing is left behind. Then one is gone for good, and the other takes over.
 *
 *   namespace ingot-twoapps: prov0 10.77.0.1 (first), prov1 10.77.1.1 (second); Ceph on the loopback
 */
import { openSync } from "node:fs";
import { chmod, chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import type { AdoptionCandidate, Disk, Drift, Finding, Image, Operation, Status } from "../../src/cli/answers.ts";
import { ApiClient } from "../../src/cli/api-client.ts";
import { isApplianceError } from "../../src/errors.ts";
import { newId } from "../../src/values/id.ts";
import { NOBODY } from "../lab/as-nobody.ts";
import { destroyEverything, killProcess } from "../lab/lab-state.ts";
import { createRack, type Rack } from "../lab/rack.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-two-appliances";
const IMAGES = "/v1/projects/default/images";
const DISKS = "/v1/projects/default/disks";
const PATIENT = { timeout: 90_000, interval: 200 };
const WORK_MS = 20_000;

/** One of them: how to speak to it, and how to start it. */
type One = { label: string; api: ApiClient; network: string; start(): Promise<void>; kill(): Promise<void> };

let rack: Rack;
let first: One;
let second: One;

beforeAll(async () => {
  await destroyEverything(STATE);
  const config = { log: { level: "info" } };
  rack = await createRack({
    stateDirectory: STATE,
    name: "twoapps",
    control: 642,
    networks: 2,
    storage: "rbd",
    config,
  });
  await rack.end("ingotd");
  await rack.end("storaged");
  first = await appliance("first", "prov0");
  second = await appliance("second", "prov1");
  for (const one of [first, second]) await one.start();
});
afterAll(() => destroyEverything(STATE));

/** An appliance of its own with one of the rack's networks. */
async function appliance(label: string, network: string): Promise<One> {
  const config = parse(await readFile(rack.configFile, "utf8"));
  const at = (name: string) => join(STATE, label, name);
  const own = { stateDirectory: at("state"), runtimeDirectory: at("run"), assetsDirectory: config.assetsDirectory };
  for (const directory of [own.stateDirectory, own.runtimeDirectory]) {
    await mkdir(directory, { recursive: true });
    await chown(directory, NOBODY, NOBODY);
  }
  await chmod(own.stateDirectory, 0o700);
  const file = at("ingot.yaml");
  const networks = config.networks.filter(({ name }: { name: string }) => name === network);
  const rbd = { ...config.pool.rbd, spoolDirectory: at("spool") };
  await writeFile(file, stringify({ ...config, ...own, networks, pool: { ...config.pool, rbd } }));
  const api = new ApiClient({ socket: join(own.runtimeDirectory, "api.sock") });
  const main = (program: string) => join(import.meta.dirname, "../../src", program);
  const start = async () => {
    const log = openSync(at("log"), "a");
    const stdio = ["ignore", log, log] as ("ignore" | number)[];
    const storaged = [process.execPath, main("storaged/main.ts"), "--config", file, "--group", "nogroup"];
    await rack.network.start(storaged, { name: `storaged-${label}`, stdio });
    const ingotd = [process.execPath, main("main.ts"), "--config", file];
    await rack.network.startUnprivileged(ingotd, { name: `ingotd-${label}`, stdio });
    await until(`${label} answers`, () => api.get("/v1/system").then(Boolean, () => false), 60_000);
  };
  const kill = async () => {
    for (const daemon of ["ingotd", "storaged"]) await killProcess(STATE, `${daemon}-${label}`);
  };
  return { label, api, network, start, kill };
}

const isOver = ({ state }: Operation) => state === "done" || state === "undone";

/** Waits for the end of an operation, and plays whoever stands beside its node. */
async function ended({ api }: One, operation: Operation): Promise<Operation> {
  for (let now = operation; ; ) {
    if (isOver(now)) return now;
    if (now.state === "stuck") throw new Error(`${now.summary}: ${JSON.stringify(now.error)}`);
    if (now.operatorRequest) await api.post(`/v1/nodes/${now.operatorRequest.node}/power/confirm`).catch(() => {});
    now = await api.get<Operation>(`/v1/operations/${now.id}?waitSeconds=1`);
  }
}

async function done(one: One, operation: Operation): Promise<void> {
  const { state, summary, error } = await ended(one, operation);
  expect([summary, state, error]).toEqual([summary, "done", undefined]);
}

/** A golden image, a disk that nobody has, and a node that is off. */
async function furnish(one: One): Promise<void> {
  const { api, label, network } = one;
  const path = join(rack.importDirectory, "golden.raw");
  await done(one, await api.post<Operation>(IMAGES, { name: "golden", path, format: "raw" }));
  const { id } = await api.get<Image>(`${IMAGES}/golden`);
  const disk = newId("disk");
  await rack.ceph!.rbd("clone", "--rbd-default-clone-format", "2", `ingot/${id}@content`, `ingot/${disk}`);
  await done(one, await api.post<Operation>("/v1/system/adopt", { undescribed: [disk] }));
  const mac = `52:54:00:00:0${network.at(-1)}:01`;
  const nics = [{ mac, role: "boot", network }];
  await api.post("/v1/nodes", { name: `node-${label}`, nics, firmware: "bios", power: { driver: "manual" } });
  await done(one, await api.post<Operation>(`/v1/nodes/node-${label}/power`, { action: "off" }));
}

const rounds = new Map<string, number>();

/** Works until told to stop; a daemon that is killed under it is no failure. */
async function work(one: One, stop: AbortSignal): Promise<void> {
  const { api, label } = one;
  const [disk] = await api.get<Disk[]>(DISKS);
  const lanes: Record<string, () => Promise<void>> = {
    snapshot: async () => {
      await done(one, await api.post<Operation>(`${DISKS}/${disk!.id}/snapshot`, { image: "snap" }));
      await done(one, await api.delete<Operation>(`${IMAGES}/snap`));
    },
    copy: async () => {
      await done(one, await api.post<Operation>(`${IMAGES}/golden/copy`, { name: "copy" }));
      await done(one, await api.delete<Operation>(`${IMAGES}/copy`));
    },
    provision: async () => {
      const operation = await api.post<Operation>(`/v1/nodes/node-${label}/provision`, { image: "golden" });
      const written = async () => {
        const { steps, state } = await api.get<Operation>(`/v1/operations/${operation.id}`);
        return (
          state !== "running" || steps.some(({ name, state: is }) => name === "write-boot-entry" && is === "succeeded")
        );
      };
      await until("the boot entry is written", written, 60_000);
      await api.post(`/v1/operations/${operation.id}/cancel`);
      expect((await ended(one, operation)).state).toBe("undone");
    },
  };
  const runs = Object.entries(lanes).map(async ([name, run]) => {
    while (!stop.aborted) {
      try {
        await run();
        rounds.set(`${label} ${name}`, (rounds.get(`${label} ${name}`) ?? 0) + 1);
      } catch (error) {
        if (!isApplianceError(error, "UNAVAILABLE")) throw error;
        // killed: what was begun goes on by itself
        return;
      }
    }
  });
  await Promise.all(runs);
}

/** Lets everything come to its end, and takes away what the work had made and not removed yet. */
async function settle(one: One): Promise<void> {
  const { api } = one;
  for (const operation of await api.get<Operation[]>("/v1/operations")) {
    if (isOver(operation)) continue;
    if (operation.summary.startsWith("provision")) await api.post(`/v1/operations/${operation.id}/cancel`);
    await ended(one, operation);
  }
  for (const { name } of await api.get<Image[]>(IMAGES)) {
    if (name !== "golden") await done(one, await api.delete<Operation>(`${IMAGES}/${name}`));
  }
}

const idsOf = async ({ api }: One) =>
  [...(await api.get<Image[]>(IMAGES)), ...(await api.get<Disk[]>(DISKS))].map(({ id }) => id);

it("both work at once; one is killed in the middle, and its operations end after its next start", async () => {
  await writeFile(join(rack.importDirectory, "golden.raw"), Buffer.alloc(4 * 1024 * 1024, "golden "));
  await Promise.all([first, second].map(furnish));
  const stop = new AbortController();
  const working = [work(first, stop.signal), work(second, stop.signal)];
  await until("all lanes have worked", () => rounds.size === 6, 90_000);
  await new Promise((resolve) => setTimeout(resolve, WORK_MS / 2));
  await second.kill();
  await working[1];
  await second.start();
  const before = rounds.get("first provision")!;
  await until("the first goes on", () => rounds.get("first provision")! > before, 90_000);
  stop.abort();
  await working[0];
  await Promise.all([first, second].map(settle));
}, 400_000);

it("nothing has ended up with the other one, and nothing is left behind", async () => {
  const [ofFirst, ofSecond] = [await idsOf(first), await idsOf(second)];
  expect([ofFirst.length, ofSecond.length]).toEqual([2, 2]);
  const stored = JSON.parse(await rack.ceph!.rbd("ls", "ingot", "--format", "json")) as string[];
  expect(stored.sort()).toEqual([...ofFirst, ...ofSecond].sort());
  expect(JSON.parse(await rack.ceph!.rbd("trash", "ls", "ingot", "--format", "json"))).toEqual([]);
  for (const one of [first, second]) {
    await expect.poll(() => one.api.get<Drift[]>("/v1/system/drift"), PATIENT).toEqual([]);
    const findings = await one.api.get<Finding[]>("/v1/system/doctor");
    expect(findings.filter(({ check, state }) => check === "catalogue" && state === "failed")).toEqual([]);
  }
});

it("each sees the other's things, as those of one that lives, and is refused them", async () => {
  const { appliance: owner } = await first.api.get<Status>("/v1/system");
  const seen = await second.api.post<AdoptionCandidate[]>("/v1/system/adopt", { dryRun: true });
  expect(seen.map(({ standing, appliance, adopted }) => [standing, appliance, adopted])).toEqual([
    ["living", owner, false],
    ["living", owner, false],
  ]);
  await expect(second.api.post("/v1/system/adopt", { from: [owner] })).rejects.toMatchObject({ code: "CONFLICT" });
});

it("what belonged to one that was killed is taken over, and it gives way when it comes back", async () => {
  const { appliance: owner } = await first.api.get<Status>("/v1/system");
  const ids = await idsOf(first);
  await first.kill();
  // it has a minute to come back
  const take = () => second.api.post<Operation>("/v1/system/adopt", { from: [owner] });
  const outcome = () =>
    take().then(
      ({ kind }) => kind,
      ({ code }) => code as string,
    );
  await expect.poll(outcome, { timeout: 90_000, interval: 1000 }).toBe("adopt");
  for (const operation of await second.api.get<Operation[]>("/v1/operations")) await ended(second, operation);
  expect((await idsOf(second)).sort()).toEqual(expect.arrayContaining(ids));
  await first.start();
  const kinds = async () => (await first.api.get<Drift[]>("/v1/system/drift")).map(({ kind }) => kind);
  await expect.poll(kinds, PATIENT).toEqual(["taken", "taken"]);
  // not its to remove any more: it forgets it
  const { state } = await ended(first, await first.api.delete<Operation>(`${DISKS}/${ids[1]}`));
  expect([state, await kinds()]).toEqual(["done", ["taken"]]);
  expect(await rack.ceph!.rbd("ls", "ingot")).toContain(ids[1]);
  await expect.poll(async () => (await idsOf(second)).length, PATIENT).toBe(4);
}, 300_000);
