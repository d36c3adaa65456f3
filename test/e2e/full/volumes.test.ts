/**
 * A virtual machine's disk becomes metal's, and metal's becomes a virtual machine's. In another pool of the same Ceph lies
 * a volume that QEMU boots by librbd; nodes boot from it, as it is and as its snapshot is, over iSCSI; and QEMU boots the
 * volume that is made of a running node's disk. Each test goes on where the one before it ended.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Image } from "../../../src/cli/answers.ts";
import { bmcCommand } from "../../lab/bmc-command.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { createVolumePool } from "../../lab/ceph.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { runOnNode } from "../../lab/node-shell.ts";
import { createRack, type Rack, type RackNode } from "../../lab/rack.ts";
import { stored } from "../pool-view.ts";

const STATE = "/var/tmp/ingot-e2e-volumes";
const POOL = "vms";
const BOOT_SECONDS = 180;
const BOOT_MS = BOOT_SECONDS * 1000;
const LETTER = "cat /root/letter";
const COMPLAINTS = "dmesg | grep -E 'EXT4-fs (error|warning)|I/O error' || true";

let rack: Rack;
let keyring: string;
const machines: RackNode[] = [];

beforeAll(async () => {
  await destroyEverything(STATE);
  const image = await buildTinyImage({ tag: "volumes" });
  const operations = { loginSeconds: BOOT_SECONDS, readySeconds: 60 };
  rack = await createRack({
    stateDirectory: STATE,
    name: "hdfvols",
    control: 810,
    storage: "rbd",
    config: { operations },
  });
  const ceph = rack.ceph!;
  await createVolumePool(ceph, POOL);
  // as a host of virtual machines has it: no word of the appliance's own pool
  const profile = `profile rbd pool=${POOL}`;
  keyring = join(STATE, "ceph", "keyring.vms");
  await writeFile(
    keyring,
    await ceph.ceph("auth", "get-or-create", "client.vms", "mon", "profile rbd", "osd", profile, "mgr", profile),
    { mode: 0o600 },
  );
  await ceph.rbd("import", "--no-progress", image, `${POOL}/web-1`);
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const machine of machines) console.log(await bootStory(rack, machine));
});
afterAll(() => destroyEverything(STATE));

async function addMetal(name: string, firmware: "bios" | "uefi"): Promise<RackNode> {
  const node = await rack.addNode({ name, firmware });
  machines.push(node);
  return node;
}

/** Boots a virtual machine from the volume of its name, and answers what it says when it is up. */
async function bootVirtual(name: string): Promise<{ machine: RackNode; up: string }> {
  const localDrive = `rbd:${POOL}/${name}:id=vms:conf=${rack.ceph!.conf}:keyring=${keyring}`;
  const machine = await rack.addNode({ name, firmware: "bios", localDrive, register: false });
  machines.push(machine);
  await bmcCommand(rack.network, machine, ["chassis", "bootdev", "disk"]);
  await bmcCommand(rack.network, machine, ["chassis", "power", "on"]);
  const [up] = await machine.console.waitForLine(/^LOCAL-UP .*/, BOOT_MS);
  return { machine, up };
}

const volumes = async () => JSON.parse(await rack.ceph!.rbd("ls", POOL, "--format", "json")) as string[];
const snapshotsOf = async (volume: string) =>
  (JSON.parse(await rack.ceph!.rbd("snap", "ls", `${POOL}/${volume}`, "--format", "json")) as { name: string }[]).map(
    ({ name }) => name,
  );

let virtual: RackNode;
let metal: RackNode;
let other: RackNode;

it(
  "a virtual machine runs on a volume, of which a snapshot is taken",
  async () => {
    const booted = await bootVirtual("web-1");
    virtual = booted.machine;
    expect(booted.up).toMatch(/^LOCAL-UP root=\/dev\/vda3 fw=bios count=1 tag=volumes /);
    await runOnNode(virtual, "echo written by web-1 >/root/letter && sync");
    await rack.ceph!.rbd("snap", "create", "--no-progress", `${POOL}/web-1@golden`);
    await runOnNode(virtual, "echo and later >>/root/letter && sync");
  },
  BOOT_MS + 60_000,
);

describe.concurrent("metal boots from it", { timeout: BOOT_MS + 60_000 }, () => {
  it("as its snapshot is", async () => {
    await rack.ingot("image", "import-rbd", "golden", `${POOL}/web-1@golden`, "--phones-home");
    metal = await addMetal("node-1", "uefi");
    await rack.ingot("provision", metal.name, "--image", "golden");
    const [up] = await metal.console.waitForLine(/^INGOT-UP .*/, 1000);
    expect(up).toMatch(/^INGOT-UP root=\/dev\/sda3 .* fw=uefi count=2 tag=volumes /);
    expect(await runOnNode(metal, LETTER)).toBe("written by web-1");
  });

  it("as it is now, while the virtual machine runs", async () => {
    await rack.ingot("image", "import-rbd", "now", `${POOL}/web-1`, "--phones-home");
    other = await addMetal("node-2", "bios");
    await rack.ingot("provision", other.name, "--image", "now");
    expect(await runOnNode(other, LETTER)).toBe("written by web-1\nand later");
  });
});

it("what metal writes is metal's alone, and the virtual machine goes on", async () => {
  await runOnNode(metal, "echo written by node-1 >>/root/letter && sync");
  await runOnNode(other, "rm /root/letter && sync");
  await runOnNode(virtual, "echo 3 >/proc/sys/vm/drop_caches; echo still there >>/root/letter && sync");
  expect(await runOnNode(virtual, LETTER)).toBe("written by web-1\nand later\nstill there");
  for (const machine of [virtual, metal, other]) expect(await runOnNode(machine, COMPLAINTS)).toBe("");
  expect(await snapshotsOf("web-1")).toEqual(["golden"]);
});

it(
  "a virtual machine boots from the running node's disk, published as a volume",
  async () => {
    await rack.ingot("disk", "snapshot", "node-1-1", "--as", "from-metal");
    await rack.ingot("image", "export", "from-metal", "--rbd", `${POOL}/web-2`);
    const { machine, up } = await bootVirtual("web-2");
    expect(up).toMatch(/^LOCAL-UP root=\/dev\/vda3 fw=bios count=3 tag=volumes /);
    expect(await runOnNode(machine, LETTER)).toBe("written by web-1\nwritten by node-1");
    await runOnNode(machine, "echo written by web-2 >>/root/letter && sync");
    expect(await runOnNode(machine, COMPLAINTS)).toBe("");
    expect(await runOnNode(metal, LETTER)).toBe("written by web-1\nwritten by node-1");
  },
  BOOT_MS + 60_000,
);

it("neither needs the other: what the appliance had is gone, and both virtual machines go on", async () => {
  for (const node of [metal, other]) await rack.ingot("deprovision", node.name, "--delete-disk", "--now");
  for (const { id } of await rack.ingotJson<Image[]>("image", "list")) await rack.ingot("image", "rm", id);
  expect(await stored(rack)).toEqual([]);
  expect(await volumes()).toEqual(["web-1", "web-2"]);
  expect([await snapshotsOf("web-1"), await snapshotsOf("web-2")]).toEqual([["golden"], []]);
  for (const machine of machines.filter((one) => one !== metal && one !== other)) {
    await runOnNode(machine, `echo 3 >/proc/sys/vm/drop_caches; ${LETTER} && sync`);
    expect(await runOnNode(machine, COMPLAINTS)).toBe("");
  }
});
