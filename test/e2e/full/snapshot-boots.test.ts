/**
 * A snapshot of a running node boots another one, whose file system is sound once its journal was replayed: ten times of
 * ten, while the first one makes, changes and removes files all the time.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Disk } from "../../../src/cli/answers.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { runOnNode } from "../../lab/node-shell.ts";
import { createRack, type Rack, type RackNode } from "../../lab/rack.ts";
import { expectSoundFileSystem } from "../pool-view.ts";

const STATE = "/var/tmp/ingot-e2e-snapshots";
const TIMES = 10;
const BOOT_SECONDS = 180;
const BOOT_MS = BOOT_SECONDS * 1000;
/** Files of some blocks each, made, synced, moved and removed; a count of rounds beside them. */
const WRITER = [
  "n=0; while :; do n=$((n+1)); d=/root/load/$((n%7)); rm -rf $d; mkdir -p $d",
  "for f in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=$d/$f bs=4k count=8 2>/dev/null; done",
  "mv $d/1 $d/moved; echo $n >/root/load/round; sync; done",
].join("; ");

let rack: Rack;
let writer: RackNode;
let reader: RackNode;

beforeAll(async () => {
  await destroyEverything(STATE);
  const image = await buildTinyImage({ tag: "snapshots", rootMib: 96 });
  const operations = { loginSeconds: BOOT_SECONDS, readySeconds: 120 };
  rack = await createRack({ stateDirectory: STATE, name: "hdfsnap", control: 800, config: { operations } });
  await rack.importImage("tiny", image);
  writer = await rack.addNode({ name: "writer", firmware: "bios" });
  reader = await rack.addNode({ name: "reader", firmware: "bios" });
  await rack.ingot("provision", writer.name, "--image", "tiny");
  await runOnNode(writer, `mkdir -p /root/load; (${WRITER} >/dev/null 2>&1 &)`);
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const node of [writer, reader]) console.log(await bootStory(rack, node));
});
afterAll(() => destroyEverything(STATE));

const round = async (node: RackNode) => Number(await runOnNode(node, "cat /root/load/round", 60_000));

it.for(Array.from({ length: TIMES }, (_, index) => index + 1))(
  `boots from a snapshot under write load, %i of ${TIMES}`,
  { timeout: 2 * BOOT_MS },
  async (time) => {
    // the disk moves on from snapshot to snapshot
    const before = time === 1 ? 0 : await round(writer);
    await expect.poll(() => round(writer), { timeout: 60_000 }).toBeGreaterThan(before);
    const snapshot = `live-${time}`;
    await rack.ingot("disk", "snapshot", "writer-1", "--as", snapshot);
    await rack.ingot("provision", reader.name, "--image", snapshot);
    expect(await round(reader)).toBeGreaterThanOrEqual(before);
    const complaints = "dmesg | grep -E 'EXT4-fs (error|warning)|I/O error' || true";
    expect(await runOnNode(reader, complaints)).toBe("");
    const { id } = (await rack.ingotJson<Disk[]>("disk", "list")).find(({ node }) => node === reader.name)!;
    await rack.ingot("deprovision", reader.name, "--keep-disk");
    await expectSoundFileSystem(rack, id);
    await rack.ingot("disk", "rm", id);
    await rack.ingot("image", "rm", snapshot);
  },
);
