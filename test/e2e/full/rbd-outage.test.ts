/**
 * A Ceph that stops in the middle of each operation: the operation says what it waits for, or unwinds and says why; once
 * Ceph is back it is over, and the pool holds what the records say and nothing else. Then a librbd process, a storaged and
 * an ingotd that are killed at the same places.
 *
 *   namespace ingot-hdfout:  Ceph on 127.0.0.1; prov0 10.77.0.1 --- veth --- namespace ingot-hdfout-node: 10.77.0.50
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Disk, Image, Operation } from "../../../src/cli/answers.ts";
import { destroyEverything, findProcess } from "../../lab/lab-state.ts";
import { addQuickMachine } from "../../lab/quick-machine.ts";
import { createRack, type Rack } from "../../lab/rack.ts";
import { stored } from "../pool-view.ts";

const STATE = "/var/tmp/ingot-e2e-outage";
const MIB = 1024 ** 2;
const PATIENCE_MS = 150_000;

let rack: Rack;

beforeAll(async () => {
  await destroyEverything(STATE);
  rack = await createRack({
    stateDirectory: STATE,
    name: "hdfout",
    control: 805,
    storage: "rbd",
    config: { operations: { softOffSeconds: 1, loginSeconds: 120, readySeconds: 120, bmcSeconds: 20 } },
  });
  await addQuickMachine(rack, {
    name: "node-1",
    mac: "52:54:00:77:00:50",
    address: "10.77.0.50",
    bmcAddress: "127.0.1.1",
    namespace: "ingot-hdfout-node",
  });
  const file = join(rack.importDirectory, "golden.raw");
  await writeFile(file, Buffer.alloc(64 * MIB, "golden"));
  await rack.ingot("image", "import", "golden", "--file", file, "--format", "raw", "--phones-home");
});
afterAll(() => destroyEverything(STATE));

const images = () => rack.ingotJson<Image[]>("image", "list");
const disks = () => rack.ingotJson<Disk[]>("disk", "list");
const exists = async (list: Promise<{ name: string }[]>, wanted: string) =>
  (await list).some(({ name }) => name === wanted);

/** How the state that an operation begins from comes about, and how it is begun. */
const OPERATIONS: Record<string, { prepare(): Promise<unknown>; command: string[] }> = {
  import: {
    prepare: async () => (await exists(images(), "new")) && rack.ingot("image", "rm", "new"),
    command: ["image", "import", "new", "--file", `${STATE}/import/golden.raw`, "--format", "raw"],
  },
  clone: {
    prepare: released,
    command: ["provision", "node-1", "--image", "golden", "--disk-name", "clone"],
  },
  snapshot: {
    prepare: async () => {
      await provisioned();
      if (await exists(images(), "snap")) await rack.ingot("image", "rm", "snap");
    },
    command: ["disk", "snapshot", "clone", "--as", "snap"],
  },
  "removal of an image": {
    prepare: async () => {
      await provisioned();
      if (!(await exists(images(), "snap"))) await rack.ingot("disk", "snapshot", "clone", "--as", "snap");
    },
    command: ["image", "rm", "snap"],
  },
  flatten: {
    prepare: async () => {
      await released();
      await provisioned();
    },
    command: ["disk", "flatten", "clone"],
  },
  "release with deletion": {
    prepare: provisioned,
    command: ["deprovision", "node-1", "--delete-disk", "--now"],
  },
};

async function provisioned(): Promise<void> {
  if (!(await exists(disks(), "clone")))
    await rack.ingot("provision", "node-1", "--image", "golden", "--disk-name", "clone");
}

async function released(): Promise<void> {
  if (await exists(disks(), "clone")) await rack.ingot("deprovision", "node-1", "--delete-disk", "--now");
}

const newest = async () => (await rack.ingotJson<Operation[]>("operation", "list"))[0]!;
const isOver = ({ state }: Operation) => state !== "running" && state !== "undoing";

/** The operation once it is over. */
async function ended(id: string): Promise<Operation> {
  const operation = () => rack.ingotJson<Operation>("operation", "show", id).catch(() => undefined);
  await expect
    .poll(
      async () => {
        const one = await operation();
        return one !== undefined && isOver(one);
      },
      { timeout: PATIENCE_MS, interval: 250 },
    )
    .toBe(true);
  return (await operation())!;
}

async function nothingLeftBehind(): Promise<void> {
  const known = [...(await images()), ...(await disks())].map(({ id }) => id).sort();
  await expect.poll(() => stored(rack), { timeout: 30_000 }).toEqual(known);
}

const DELAYS_MS = [0, 120];

describe.each(Object.keys(OPERATIONS))("%s", (name) => {
  const { prepare, command } = OPERATIONS[name]!;

  /** Begins the operation, and does `harm` a moment later. */
  const beginThen = async (delayMs: number, harm: () => Promise<unknown>): Promise<Operation> => {
    await prepare();
    const { id } = await rack.ingotJson<Operation>(...command, "--no-wait");
    await sleep(delayMs);
    await harm();
    return rack.ingotJson<Operation>("operation", "show", id).catch(async () => ({ ...(await newest()), id }));
  };

  it.each(DELAYS_MS)(
    "outlives an OSD that hangs after %i ms, and says so",
    { timeout: 2 * PATIENCE_MS },
    async (delay) => {
      const { id } = await beginThen(delay, () => rack.ceph!.signal("osd", "SIGSTOP"));
      try {
        const said = async () => {
          const { state, waitingFor, error } = await rack.ingotJson<Operation>("operation", "show", id);
          return state === "done" ? "done" : (waitingFor?.message ?? error?.message);
        };
        await expect
          .poll(said, { timeout: PATIENCE_MS, interval: 250 })
          .toMatch(/^done$|Ceph can't be reached|the target daemon has not answered/);
      } finally {
        await rack.ceph!.signal("osd", "SIGCONT");
      }
      const { state, error } = await ended(id);
      expect(["done", "undone"], JSON.stringify(error)).toContain(state);
      await nothingLeftBehind();
    },
  );

  it("outlives an OSD that is killed and started again", { timeout: 2 * PATIENCE_MS }, async () => {
    const { id } = await beginThen(60, () => rack.ceph!.end("osd", "SIGKILL"));
    await rack.ceph!.start("osd");
    const { state, error } = await ended(id);
    expect(["done", "undone"], JSON.stringify(error)).toContain(state);
    await nothingLeftBehind();
  });

  it.each(["librbd process", "storaged", "ingotd"])(
    "outlives its %s, which is killed",
    { timeout: 2 * PATIENCE_MS },
    async (victim) => {
      await prepare();
      const { id } = await rack.ingotJson<Operation>(...command, "--no-wait");
      await sleep(60);
      if (victim === "librbd process") await killLibrbd();
      else await rack.end(victim, "SIGKILL");
      if (victim === "storaged") await rack.startStoraged();
      if (victim === "ingotd") await rack.startIngotd();
      const { state, error } = await ended(id);
      expect(["done", "undone"], JSON.stringify(error)).toContain(state);
      await nothingLeftBehind();
    },
  );
});

/** Kills the children of storaged: the process that speaks to Ceph, and programs that it runs. */
async function killLibrbd(): Promise<void> {
  const storaged = await findProcess(STATE, "storaged");
  const children = (await readFile(`/proc/${storaged}/task/${storaged}/children`, "utf8")).split(" ").map(Number);
  for (const pid of children) if (pid > 1) process.kill(pid, "SIGKILL");
}
