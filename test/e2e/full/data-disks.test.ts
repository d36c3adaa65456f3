/**
 * Disks beside the one that a node boots: attached to its running OS, kept when it is released, there again at its next
 * boot; and a failed node's root, read-only, at another node. Each test goes on where the one before it ended.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Disk, Node } from "../../../src/cli/answers.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { runOnNode } from "../../lab/node-shell.ts";
import { runProgram } from "../../lab/program.ts";
import { createRack, type Rack, type RackNode } from "../../lab/rack.ts";
import { withDiskFile } from "../pool-view.ts";
import { findTarget } from "../target-view.ts";

const STATE = "/var/tmp/ingot-e2e-data-disks";
const BOOT_SECONDS = 120;
const BOOT_MS = BOOT_SECONDS * 1000;
const ATTACH_MS = 60_000;

let rack: Rack;
let first: RackNode;
let second: RackNode;

const showDisk = (name: string) => rack.ingotJson<Disk>("disk", "show", name);

beforeAll(async () => {
  await destroyEverything(STATE);
  const image = await buildTinyImage({ tag: "data-disks" });
  const operations = { loginSeconds: BOOT_SECONDS, readySeconds: 60 };
  rack = await createRack({ stateDirectory: STATE, name: "hdfdata", control: 795, config: { operations } });
  await rack.importImage("tiny", image);
  first = await rack.addNode({ name: "node-1", firmware: "bios" });
  second = await rack.addNode({ name: "node-2", firmware: "bios" });
  await Promise.all([
    rack.ingot("provision", first.name, "--image", "tiny", "--disk-name", "results"),
    rack.ingot("provision", second.name, "--image", "tiny"),
  ]);
  await rack.ingot("deprovision", first.name, "--now");
}, BOOT_MS + 60_000);
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const node of [first, second]) console.log(await bootStory(rack, node));
});
afterAll(() => destroyEverything(STATE));

/** The block device that a node has at LUN 2, after it was made to look for new ones. */
async function secondDisk(node: RackNode): Promise<string> {
  await runOnNode(node, 'for host in /sys/class/scsi_host/host*/scan; do echo "- - -" >$host; done');
  const find = "ls /sys/class/scsi_device/*:2/device/block 2>/dev/null || true";
  await expect.poll(() => runOnNode(node, find), { timeout: 20_000 }).toMatch(/^sd[a-z]$/);
  return runOnNode(node, find);
}

it(
  "a running node is given a disk, writes to it, and gives it back",
  async () => {
    await rack.ingot("disk", "attach", "results", second.name);
    expect(await showDisk("results")).toMatchObject({ node: second.name, lun: 2, readOnly: false });
    const shown = await rack.ingotJson<Node>("node", "show", second.name);
    expect(shown.boots?.dataDisks).toMatchObject([{ disk: "results", lun: 2, readOnly: false }]);
    const device = await secondDisk(second);
    await runOnNode(second, `mkdir -p /tmp/results && mount /dev/${device}3 /tmp/results`);
    await runOnNode(second, "echo written by node-2 >/tmp/results/letter && sync");

    await expect(rack.ingot("disk", "detach", "results")).rejects.toThrow(/node node-2 is on and uses the disk/);
    await runOnNode(second, `umount /tmp/results && echo 1 >/sys/block/${device}/device/delete`);
    await rack.ingot("disk", "detach", "results", "--unmounted");
    expect(await showDisk("results")).toMatchObject({ clean: true });
    expect((await showDisk("results")).node).toBeUndefined();
    await runOnNode(second, "echo unharmed >/root/state && sync");
  },
  ATTACH_MS,
);

it(
  "a node boots with it beside a new root, and finds both again after tgtd was killed",
  async () => {
    await rack.ingot("provision", first.name, "--image", "tiny", "--data", "results");
    const root = await showDisk("node-1-1");
    expect(await runOnNode(first, "cat /sys/firmware/ibft/target0/target-name")).toContain(root.id);
    const device = await secondDisk(first);
    await runOnNode(first, `mkdir -p /tmp/results && mount /dev/${device}3 /tmp/results`);
    expect(await runOnNode(first, "cat /tmp/results/letter")).toBe("written by node-2");
    // both are clones of one image: the root is the one that was booted
    expect(await runOnNode(first, "cat /root/letter 2>/dev/null || echo none")).toBe("none");

    await rack.end("tgtd-0", "SIGKILL");
    await rack.startTgtd();
    await runOnNode(first, "for d in /root /tmp/results; do echo after >>$d/letter; done; sync", 60_000);
    expect((await findTarget(rack, root.id))?.units.map(({ lun }) => lun)).toEqual([1, 2]);
  },
  BOOT_MS + 60_000,
);

it(
  "when that node fails, another one reads its root, and can't write to it",
  async () => {
    const root = await showDisk("node-1-1");
    const command = ["disk", "attach", root.name, second.name, "--read-only"];
    await expect(rack.ingot(...command)).rejects.toThrow(/--force-off/);
    await rack.ingot(...command, "--force-off");
    expect(await first.running()).toBe(false);
    expect(await findTarget(rack, root.id)).toBeUndefined();
    // what the failed node had beside it is kept, and free
    expect((await showDisk("results")).node).toBeUndefined();
    const digest = () =>
      withDiskFile(rack, root.id, async (file) => (await runProgram("sha256sum", [file])).split(" ")[0]);
    const before = await digest();

    const device = await secondDisk(second);
    expect(await runOnNode(second, `cat /sys/block/${device}/ro`)).toBe("1");
    await runOnNode(second, `mkdir -p /tmp/failed && mount -t ext4 -o ro,noload /dev/${device}3 /tmp/failed`);
    expect(await runOnNode(second, "cat /tmp/failed/root/letter")).toBe("after");
    await expect(runOnNode(second, `dd if=/dev/zero of=/dev/${device} bs=4k count=1 conv=fsync`)).rejects.toThrow();
    await expect(runOnNode(second, "mount -o remount,rw /tmp/failed")).rejects.toThrow();
    await runOnNode(second, `umount /tmp/failed && echo 1 >/sys/block/${device}/device/delete`);

    await rack.ingot("disk", "detach", root.name, "--unmounted");
    expect(await digest()).toBe(before);
    await runOnNode(second, "cat /root/state");
  },
  ATTACH_MS,
);
