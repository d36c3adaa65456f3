/** The nodes' end of `npm run bench -- provision`. */
import type { Disk, Operation } from "../../../src/cli/answers.ts";
import { type Attachment, fetchFrom, openDisk, readAttachment } from "../../lab/simulated/script.ts";
import { nodeAddress, nodeMac } from "../measure/appliance.ts";
import { api, confirm, ended, facts, loopDelay, reached, switchOff } from "../measure/client.ts";
import { type Case, median, sideBySide } from "../measure/side-by-side.ts";

const NODES_ON_RECORD = 10_000;
const REPEATS = 10;
const BATCH = 24;
const DISKS = "/v1/projects/default/disks";
const IMAGES = "/v1/projects/default/images";

type Attached = { node: number; operation: Operation; attachment: Attachment; milliseconds: number };

const name = (node: number) => `bench-${node}`;

async function register(): Promise<void> {
  console.error(`registering ${NODES_ON_RECORD} nodes`);
  for (let first = 0; first < NODES_ON_RECORD; first += 50) {
    const some = Array.from({ length: 50 }, (_, index) => first + index);
    await Promise.all(
      some.map((node) =>
        api.post("/v1/nodes", {
          name: name(node),
          // only the first ones boot here
          nics: [
            {
              mac: nodeMac(node),
              role: "boot",
              network: "prov0",
              ...(node < 4096 ? { address: nodeAddress(node) } : {}),
            },
          ],
          firmware: "bios",
          power: { driver: "manual" },
        }),
      ),
    );
  }
}

/** Provisions until the disk is readable from outside; the operation then waits at power-on. */
async function attach(node: number, image: string): Promise<Attached> {
  const began = performance.now();
  const operation = await api.post<Operation>(`/v1/nodes/${name(node)}/provision`, { image });
  await reached(operation, "write-boot-entry", "succeeded");
  const address = nodeAddress(node);
  const script = await fetchFrom(address, `http://${facts.server}/boot/${nodeMac(node)}`);
  const attachment = readAttachment(script);
  if (!attachment) throw new Error(`no disk in the script of ${name(node)}:\n${script}`);
  const session = await openDisk(attachment, address);
  await session.read(0, 1);
  const milliseconds = performance.now() - began;
  session.cut();
  return { node, operation, attachment, milliseconds };
}

/** Plays the rest of the boot, so that the operation ends. */
async function boot({ node, operation, attachment }: Attached): Promise<void> {
  const localAddress = nodeAddress(node);
  await confirm(name(node));
  const firmware = await openDisk(attachment, localAddress);
  for (let sector = 0; sector < 4096; sector += 256) await firmware.read(sector, 256);
  const seen = reached(operation, "await-login", "succeeded");
  // the watch looks a few times a second: the firmware's session must be there when it does
  await new Promise((resolve) => setTimeout(resolve, 600));
  firmware.cut();
  const os = await openDisk(attachment, localAddress);
  await os.read(0, 1);
  await seen;
  await ended(operation);
  os.cut();
}

async function release(node: number): Promise<number> {
  const began = performance.now();
  const operation = await api.post<Operation>(`/v1/nodes/${name(node)}/deprovision`, { disk: "delete" });
  await confirm(name(node));
  await ended(operation);
  return performance.now() - began;
}

/** One figure: the middle one of some provisions, each released again. */
async function provisions(image: string): Promise<number> {
  const figures: number[] = [];
  for (let node = 0; node < REPEATS; node++) {
    const attached = await attach(node, image);
    figures.push(attached.milliseconds);
    await boot(attached);
    await release(node);
  }
  return median(figures);
}

async function onBootedNode(image: string, measure: (disk: Disk) => Promise<number>): Promise<number> {
  const attached = await attach(0, image);
  await boot(attached);
  const disk = (await api.get<Disk[]>(DISKS)).find((one) => one.node !== undefined) as Disk;
  const figures: number[] = [];
  for (let round = 0; round < REPEATS; round++) figures.push(await measure(disk));
  await release(0);
  return median(figures);
}

async function snapshot(disk: Disk): Promise<number> {
  const began = performance.now();
  await ended(await api.post<Operation>(`${DISKS}/${disk.name}/snapshot`, { image: "bench-snapshot" }));
  const milliseconds = performance.now() - began;
  await ended(await api.delete<Operation>(`${IMAGES}/bench-snapshot`));
  return milliseconds;
}

async function releases(): Promise<number> {
  const figures: number[] = [];
  for (let node = 0; node < REPEATS; node++) {
    await boot(await attach(node, "one"));
    figures.push(await release(node));
  }
  return median(figures);
}

async function batch(): Promise<number> {
  const nodes = Array.from({ length: BATCH }, (_, node) => node);
  const began = performance.now();
  const attached = await Promise.all(nodes.map((node) => attach(node, "one")));
  const milliseconds = performance.now() - began;
  await Promise.all(attached.map(boot));
  for (const node of nodes) await release(node);
  return milliseconds;
}

/** Imports over and over until told to stop. */
async function importing(stop: AbortSignal): Promise<void> {
  const file = `${facts.importDirectory}/one.raw`;
  while (!stop.aborted) {
    await ended(await api.post<Operation>(IMAGES, { name: "meanwhile", path: file, format: "raw" }));
    await ended(await api.delete<Operation>(`${IMAGES}/meanwhile`));
  }
}

const bound = (theirs: number) => ({ unit: "ms", better: "lower" as const, peer: "bound", theirs });
const cases: Case[] = [
  { case: "provision-1g", ...bound(60), ours: () => provisions("one") },
  { case: "provision-10g", ...bound(60), ours: () => provisions("ten") },
  { case: "provision-fragmented", ...bound(1500), ours: () => provisions("fragmented") },
  { case: "snapshot", ...bound(40), ours: () => onBootedNode("one", snapshot) },
  { case: "snapshot-fragmented", ...bound(1500), ours: () => onBootedNode("fragmented", snapshot) },
  { case: "deprovision", ...bound(100), ours: releases },
  { case: "batch-24", ...bound(1000), ours: batch },
  { case: "event-loop-p99", ...bound(20), ours: async () => (await loopDelay()).p99Ms },
];

await register();
// from here on they are known to be off: provisioning begins with the clone
for (let node = 0; node < BATCH; node++) await switchOff(name(node));
await loopDelay();
const stop = new AbortController();
const background = importing(stop.signal);
await sideBySide("provision", cases, 3);
stop.abort();
await background;
