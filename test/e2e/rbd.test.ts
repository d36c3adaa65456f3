/**
 * Disks in a Ceph pool: a node boots from a clone, is snapshotted under its running OS, and goes on writing when its
 * tgtd is killed; another boots from the snapshot. Each test goes on where the one before it ended.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Disk, Image, Operation } from "../../src/cli/answers.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runOnNode } from "../lab/node-shell.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";
import { stored } from "./pool-view.ts";
import { findTarget } from "./target-view.ts";

const STATE = "/var/tmp/ingot-e2e-rbd";
const BOOT_SECONDS = 180;
const BOOT_MS = BOOT_SECONDS * 1000;

let rack: Rack;
let first: RackNode;
let second: RackNode;

beforeAll(async () => {
  await destroyEverything(STATE);
  const image = await buildTinyImage({ tag: "rbd" });
  const operations = { loginSeconds: BOOT_SECONDS, readySeconds: 60 };
  rack = await createRack({
    stateDirectory: STATE,
    name: "hdfrbd",
    control: 790,
    storage: "rbd",
    config: { operations },
  });
  await rack.importImage("tiny", image);
  first = await rack.addNode({ name: "node-1", firmware: "bios" });
  second = await rack.addNode({ name: "node-2", firmware: "uefi" });
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const node of [first, second]) console.log(await bootStory(rack, node));
});
afterAll(() => destroyEverything(STATE));

it(
  "a node boots from a clone, whose writes are in the cluster before they are acknowledged",
  async () => {
    const { state } = await rack.ingotJson<Operation>("provision", first.name, "--image", "tiny");
    expect(state).toBe("done");
    const disk = await rack.ingotJson<Disk>("disk", "show", "node-1-1");
    const target = await findTarget(rack, disk.id);
    expect(target).toMatchObject({ units: [{ lun: 1, path: `ingot/${disk.id}` }], writeThrough: true });
    await runOnNode(first, "echo written by node-1 >/root/letter && sync");
  },
  BOOT_MS + 60_000,
);

it("it goes on writing after its tgtd was killed", async () => {
  await rack.end("tgtd-0", "SIGKILL");
  await rack.startTgtd();
  await runOnNode(first, "echo written after >>/root/letter && sync", 90_000);
});

it("it is held to the disk's limit at once, as it runs", async () => {
  const [mib, perSecond] = [24, 4];
  await rack.ingot("disk", "limit", "node-1-1", "--bytes-per-second", `${perSecond}M`);
  const began = performance.now();
  await runOnNode(first, `echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/sda of=/dev/null bs=1M count=${mib}`, 90_000);
  const seconds = (performance.now() - began) / 1000;
  // what a second gives may have been saved up, and is given once more; without a limit it takes half of this
  expect(seconds).toBeGreaterThan(mib / perSecond - 2);
  await rack.ingot("disk", "limit", "node-1-1", "--bytes-per-second", "none");
  expect(await rack.ingotJson<Disk>("disk", "show", "node-1-1")).not.toHaveProperty("limits");
}, 150_000);

it(
  "another node boots from a snapshot that was taken while the first one ran",
  async () => {
    await rack.ingot("disk", "snapshot", "node-1-1", "--as", "snap");
    await rack.ingot("provision", second.name, "--image", "snap");
    expect(await runOnNode(second, "cat /root/letter")).toBe("written by node-1\nwritten after");
  },
  BOOT_MS + 60_000,
);

it("a disk that is deleted leaves what its snapshot needs, and nothing when that goes too", async () => {
  const images = await rack.ingotJson<Image[]>("image", "list");
  const id = (name: string) => images.find((one) => one.name === name)!.id;
  await rack.ingot("deprovision", first.name, "--delete-disk", "--now");
  const second1 = await rack.ingotJson<Disk>("disk", "show", "node-2-1");
  expect((await stored(rack)).filter((name) => !name.startsWith("trash: "))).toEqual(
    [id("tiny"), id("snap"), second1.id].sort(),
  );
  expect(await runOnNode(second, "cat /root/letter")).toContain("written by node-1");
  await rack.ingot("deprovision", second.name, "--delete-disk", "--now");
  await rack.ingot("image", "rm", "snap", "--yes");
  expect(await stored(rack)).toEqual([id("tiny")]);
});
