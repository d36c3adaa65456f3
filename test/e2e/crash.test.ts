/**
 * ingotd killed by SIGKILL after every journal line of provision and deprovision, with real tgtd, ingot-storaged,
 * pool, BMC and network; then started again: done or undone, and nothing left behind.
 *
 * The machine behind the BMC is no QEMU but a program that, while it has power, says from the node's address that its OS
 * is up: a boot takes a fraction of a second, and the appliance can't tell the difference.
 *
 *   namespace ingot-crash:  prov0 10.77.0.1 --- veth --- namespace ingot-crash-node: 10.77.0.50
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createStorageClient, type StorageClient } from "../../src/storaged/client.ts";
import { destroyEverything, findProcess } from "../lab/lab-state.ts";
import { addQuickMachine } from "../lab/quick-machine.ts";
import { createRack, type Rack } from "../lab/rack.ts";
import { stored } from "./pool-view.ts";

const STATE = "/var/tmp/ingot-e2e-crash";
const ADDRESS = "10.77.0.50";
const MACHINE = {
  name: "node-1",
  mac: "52:54:00:77:00:50",
  address: ADDRESS,
  bmcAddress: "127.0.1.1",
  namespace: "ingot-crash-node",
};
const MOST_LINES = 60;

let rack: Rack;
let storage: StorageClient;

beforeAll(async () => {
  await destroyEverything(STATE);
  rack = await createRack({
    stateDirectory: STATE,
    name: "crash",
    control: 690,
    ingotd: "test/lab/crashing-ingotd.ts",
    config: { operations: { softOffSeconds: 1, loginSeconds: 10, readySeconds: 10, bmcSeconds: 20 } },
  });
  await addQuickMachine(rack, MACHINE);
  const image = join(rack.importDirectory, "golden.raw");
  await writeFile(image, Buffer.alloc(1024 * 1024, "golden"));
  await rack.ingot("image", "import", "golden", "--file", image, "--format", "raw", "--phones-home");
  storage = createStorageClient(join(STATE, "run/storaged.sock"));
});

afterAll(async () => {
  storage?.close();
  await destroyEverything(STATE);
});

type Operation = { id: string; kind: string; state: string; error?: { message: string } };

/** Starts an operation on an ingotd that dies at this journal line; answers whether it did, once it did or the operation is over. */
async function crashAt(line: number, kind: string, ...command: string[]): Promise<boolean> {
  await rack.end("ingotd");
  await rack.startIngotd({ environment: { INGOT_CRASH_AT: String(line), INGOT_CRASH_IN: kind } });
  await rack.ingot(...command, "--no-wait").catch(() => {});
  await settled().catch(() => {});
  return (await findProcess(STATE, "ingotd")) === undefined;
}

/** The newest operation once it is over; rejects when ingotd goes away meanwhile. */
async function settled(): Promise<Operation> {
  for (;;) {
    const [operation] = await rack.ingotJson<Operation[]>("operation", "list");
    if (operation && operation.state !== "running" && operation.state !== "undoing") return operation;
  }
}

async function nothingLeftBehind(line: number): Promise<void> {
  const about = `after line ${line}`;
  const disks = await rack.ingotJson<{ id: string; node?: string }[]>("disk", "list");
  const images = await rack.ingotJson<{ id: string; ready: boolean }[]>("image", "list");
  expect(await stored(rack), about).toEqual([...disks, ...images].map((one) => one.id).sort());
  const attached = disks.filter((disk) => disk.node !== undefined);
  const targets = await storage.targets.list(rack.control, AbortSignal.timeout(5000));
  expect(targets.map((one) => one.iqn.split(":").at(-1)).sort(), about).toEqual(attached.map((one) => one.id).sort());
  const leases = await rack.ingotJson<{ address: string }[]>("lease", "list");
  expect(
    leases.map((one) => one.address),
    about,
  ).toEqual(attached.length > 0 ? [ADDRESS] : []);
  const machine = await findProcess(STATE, "node-1.qemu");
  expect(machine === undefined, about).toBe(attached.length === 0);
}

async function crashAtEachLine(
  kind: string,
  prepare: () => Promise<void>,
  ...command: string[]
): Promise<Record<string, number>> {
  const outcomes: Record<string, number> = {};
  for (let line = 1; line < MOST_LINES; line++) {
    await prepare();
    const crashed = await crashAt(line, kind, ...command);
    await rack.end("ingotd");
    await rack.startIngotd();
    const operation = await settled();
    expect(operation.kind).toBe(kind);
    expect(["done", "undone"], `line ${line}: ${JSON.stringify(operation.error)}`).toContain(operation.state);
    await nothingLeftBehind(line);
    if (!crashed) {
      expect(line, "it should have crashed before").toBeGreaterThan(10);
      return { ...outcomes, lines: line - 1 };
    }
    outcomes[operation.state] = (outcomes[operation.state] ?? 0) + 1;
  }
  throw new Error(`${kind} writes more than ${MOST_LINES} journal lines`);
}

async function released(): Promise<void> {
  const disks = await rack.ingotJson<{ node?: string }[]>("disk", "list");
  if (disks.some((disk) => disk.node !== undefined))
    await rack.ingot("deprovision", "node-1", "--delete-disk", "--now");
}

async function provisioned(): Promise<void> {
  const disks = await rack.ingotJson<{ node?: string }[]>("disk", "list");
  if (!disks.some((disk) => disk.node !== undefined)) await rack.ingot("provision", "node-1", "--image", "golden");
}

it("survives a crash after each journal line of provision", { timeout: 600_000 }, async () => {
  const outcomes = await crashAtEachLine("provision", released, "provision", "node-1", "--image", "golden");
  console.log("provision, by crash line:", outcomes);
});

it("survives a crash after each journal line of deprovision", { timeout: 600_000 }, async () => {
  const outcomes = await crashAtEachLine("deprovision", provisioned, "deprovision", "node-1", "--delete-disk");
  console.log("deprovision, by crash line:", outcomes);
});
