/** What is measured of a node's life, and of its disk: by an outside initiator, through the API. Nodes have no BMC. */
import type { Disk, Operation } from "../../../src/cli/answers.ts";
import { type Attachment, fetchFrom, openDisk, readAttachment } from "../../lab/simulated/script.ts";
import { nodeAddress, nodeMac } from "./appliance.ts";
import { api, confirm, ended, facts, hasRead, reached, switchOff } from "./client.ts";
import { median } from "./side-by-side.ts";

const REPEATS = 10;
const BATCH = 24;
/** By all of a batch together, 500 questions a second. */
const BATCH_LOOK_EVERY_MS = 48;
const KERNEL_SECTORS = 4096;
const DISKS = "/v1/projects/default/disks";
export const IMAGES = "/v1/projects/default/images";

type Attached = { node: number; operation: Operation; attachment: Attachment; milliseconds: number };

const name = (node: number) => `bench-${node}`;

/**
 * Puts so many nodes on record, and has the first ones, which boot here, switched off: from then on they are known to be
 * off, and provisioning begins with the clone.
 */
export async function register(count: number): Promise<void> {
  console.error(`registering ${count} nodes`);
  for (let first = 0; first < count; first += 50) {
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
  for (let node = 0; node < BATCH; node++) await switchOff(name(node));
}

/** Provisions until the disk is readable from outside; the operation then waits at power-on. */
async function attach(node: number, image: string, everyMs?: number): Promise<Attached> {
  const began = performance.now();
  const operation = await api.post<Operation>(`/v1/nodes/${name(node)}/provision`, { image });
  await reached(operation, "write-boot-entry", "succeeded", everyMs);
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
  for (let sector = 0; sector < KERNEL_SECTORS; sector += 256) await firmware.read(sector, 256);
  // a batch's firmware must not be gone before the watch, which then has much to do, has looked
  await hasRead(name(node), KERNEL_SECTORS * 512);
  const seen = reached(operation, "await-login", "succeeded");
  firmware.cut();
  const os = await openDisk(attachment, localAddress);
  // by that it is known for the OS's, however little the watch saw of the firmware's
  await os.write(8, Buffer.alloc(4096));
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
export async function provisions(image: string): Promise<number> {
  const figures: number[] = [];
  for (let node = 0; node < REPEATS; node++) {
    const attached = await attach(node, image);
    figures.push(attached.milliseconds);
    await boot(attached);
    await release(node);
  }
  return median(figures);
}

/** One figure of the disk of a node that is up: the middle one of some. */
export async function onBootedNode(image: string, measure: (disk: Disk) => Promise<number>): Promise<number> {
  const attached = await attach(0, image);
  await boot(attached);
  const disk = (await api.get<Disk[]>(DISKS)).find((one) => one.node !== undefined) as Disk;
  const figures: number[] = [];
  for (let round = 0; round < REPEATS; round++) figures.push(await measure(disk));
  await release(0);
  return median(figures);
}

/** Milliseconds of a snapshot, from the call to its end. */
export async function snapshot(disk: Disk): Promise<number> {
  const began = performance.now();
  await ended(await api.post<Operation>(`${DISKS}/${disk.name}/snapshot`, { image: "bench-snapshot" }));
  const milliseconds = performance.now() - began;
  await ended(await api.delete<Operation>(`${IMAGES}/bench-snapshot`));
  return milliseconds;
}

/** Milliseconds from the call for a release until nothing is left of it: the middle one of some. */
export async function releases(image: string): Promise<number> {
  const figures: number[] = [];
  for (let node = 0; node < REPEATS; node++) {
    await boot(await attach(node, image));
    figures.push(await release(node));
  }
  return median(figures);
}

/** Milliseconds until the last of 24 nodes provisioned at once has its disk. */
export async function batch(image: string): Promise<number> {
  const nodes = Array.from({ length: BATCH }, (_, node) => node);
  const began = performance.now();
  const attached = await Promise.all(nodes.map((node) => attach(node, image, BATCH_LOOK_EVERY_MS)));
  const milliseconds = performance.now() - began;
  await Promise.all(attached.map(boot));
  for (const node of nodes) await release(node);
  return milliseconds;
}
