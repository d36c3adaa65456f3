/**
 * A full Debian as people run it, over iSCSI with CHAP, on a BIOS and a UEFI machine at once: its own initramfs reads the
 * iBFT, its own iscsid takes the session over, its own shutdown leaves the disk. Each test goes on where the one
 * before it ended.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Boot, Disk } from "../../../src/cli/answers.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildDebianImage } from "../../lab/image/debian-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { runOnNode, waitForShell } from "../../lab/node-shell.ts";
import { ISCSI_LOGIN, type PacketCapture, startCapture } from "../../lab/packet-capture.ts";
import { runProgram } from "../../lab/program.ts";
import { createRack, type Rack, type RackNode } from "../../lab/rack.ts";
import { withDiskFile } from "../pool-view.ts";
import { findTarget } from "../target-view.ts";

const STATE = "/var/tmp/ingot-full-debian";
const MINUTE_MS = 60_000;
const BUILD_MS = 30 * MINUTE_MS;
const BOOT_MS = 10 * MINUTE_MS;
const REBOOTS = 2;
const MEMORY_MIB = 1024;
const WRITES = /^IO-WRITER block=(\d+)/;
const FIRMWARES = ["bios", "uefi"] as const;

type Firmware = (typeof FIRMWARES)[number];

let rack: Rack;
const nodes = {} as Record<Firmware, RackNode>;
const disks = {} as Record<Firmware, Disk>;
const logins = {} as Record<Firmware, PacketCapture>;

beforeAll(async () => {
  await destroyEverything(STATE);
  const image = await buildDebianImage();
  const operations = { loginSeconds: BOOT_MS / 1000, readySeconds: BOOT_MS / 1000, softOffSeconds: 300 };
  rack = await createRack({ stateDirectory: STATE, name: "hdgdeb", control: 800, config: { operations } });
  await rack.importImage("debian", image);
  for (const firmware of FIRMWARES) {
    const loader = firmware === "bios" ? "ipxe" : "firmware";
    const node = await rack.addNode({ name: firmware, firmware, loader, memoryMib: MEMORY_MIB });
    const filter = `ether src ${node.mac} and ${ISCSI_LOGIN}`;
    logins[firmware] = await startCapture(rack.network, {
      name: `logins-${firmware}`,
      interface: node.network,
      filter,
    });
    nodes[firmware] = node;
  }
}, BUILD_MS);

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const node of Object.values(nodes)) console.log(await bootStory(rack, node));
});

afterAll(() => destroyEverything(STATE));

/** Waits until the OS's newest boot since a mark is up, heard of, and has a shell; answers what it said of itself. */
async function upLine(node: RackNode, since: number): Promise<string> {
  const [line] = await node.console.waitForLine(/INGOT-UP .*/, BOOT_MS, since);
  await node.console.waitForLine(/INGOT-READY/, BOOT_MS, since);
  await waitForShell(node, BOOT_MS);
  return line;
}

/** iscsid runs, answers, holds the root's session and gives a lost portal 15 minutes. */
async function expectAdopted(node: RackNode): Promise<void> {
  expect(await runOnNode(node, "systemctl is-active iscsid", MINUTE_MS)).toBe("active");
  const session = await runOnNode(node, "iscsiadm -m session -P 1", MINUTE_MS);
  expect(session).toContain("iSCSI Connection State: LOGGED IN");
  expect(session).toContain("Internal iscsid Session State: NO CHANGE");
  expect(await runOnNode(node, "cat /sys/class/iscsi_session/session*/recovery_tmo", MINUTE_MS)).toBe("900");
}

describe.concurrent("a Debian node", { timeout: 2 * BOOT_MS }, () => {
  it.for(FIRMWARES)("comes up from its clone by CHAP, %s", async (firmware) => {
    const node = nodes[firmware];
    await rack.ingot("provision", node.name, "--image", "debian");
    disks[firmware] = await rack.ingotJson<Disk>("disk", "show", `${node.name}-1`);

    const up = await upLine(node, 0);
    const target = await findTarget(rack, disks[firmware].id);
    expect(up).toMatch(/^INGOT-UP root=\/dev\/sda3 session=session\d+ /);
    expect(up).toContain(` target=${target?.iqn} fw=${firmware} count=1 tag=debian mac=${node.mac} `);
    const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", node.name);
    const stages = boot?.stages.map(({ stage }) => stage);
    // its initramfs asks for an address although the iBFT has one
    expect(stages?.slice(-5)).toEqual(["iscsi-login-firmware", "first-read", "dhcp-os", "iscsi-login-os", "ready"]);
    await expectAdopted(node);

    await logins[firmware].end();
    const answers = [...(await logins[firmware].text()).matchAll(/CHAP_N=([^.]+)\.CHAP_R=0x[0-9a-f]{32}/gi)];
    // iPXE, the initramfs, iscsid
    expect(answers.length).toBeGreaterThanOrEqual(3);
    expect([...new Set(answers.map(([, user]) => user))]).toEqual(target?.accounts);
  });
});

describe.concurrent("a Debian node", { timeout: (REBOOTS + 1) * BOOT_MS }, () => {
  it.for(FIRMWARES)(`comes back from ${REBOOTS} reboots in a row, %s`, async (firmware) => {
    const node = nodes[firmware];
    for (let count = 2; count <= REBOOTS + 1; count++) {
      const since = await node.console.mark();
      node.console.write("reboot\n");
      expect(await upLine(node, since)).toContain(` fw=${firmware} count=${count} `);
      await expectAdopted(node);
    }
  });
});

it("writes on after tgtd was killed under it, with nothing cached", { timeout: 3 * BOOT_MS }, async () => {
  for (const node of Object.values(nodes)) {
    await runOnNode(node, "(io-writer >/dev/null 2>&1 &)", MINUTE_MS);
    await node.console.waitForLine(WRITES, BOOT_MS);
    // what iscsid would have to read from the root that it is to bring back
    await runOnNode(node, "echo 3 >/proc/sys/vm/drop_caches", MINUTE_MS);
  }
  const since = await Promise.all(Object.values(nodes).map((node) => node.console.mark()));

  await rack.end("tgtd-0", "SIGKILL");
  await rack.startTgtd();

  const sessions = async (firmware: Firmware) => (await findTarget(rack, disks[firmware].id))?.sessions.length;
  for (const [index, firmware] of FIRMWARES.entries()) {
    const node = nodes[firmware];
    await expect.poll(() => sessions(firmware), { timeout: BOOT_MS, interval: 250 }).toBe(1);
    await node.console.waitForLine(WRITES, BOOT_MS, await node.console.mark());
    const said = (await node.console.lines(since[index])).join("\n");
    expect(said).not.toContain("IO-ERROR");
    // it would talk into the answers
    await runOnNode(node, "pkill -x io-writer", MINUTE_MS);
    await runOnNode(node, `! dmesg | grep -E "I/O error|EXT4-fs error|Remounting filesystem read-only"`, MINUTE_MS);
    await expectAdopted(node);
  }
});

describe.concurrent("a Debian node", { timeout: BOOT_MS }, () => {
  it.for(FIRMWARES)("shuts down in order when it is released, %s", async (firmware) => {
    const node = nodes[firmware];
    const { id } = disks[firmware];
    await rack.ingot("deprovision", node.name, "--keep-disk");
    expect(await node.running()).toBe(false);
    expect(await rack.ingotJson<Disk>("disk", "show", id)).toMatchObject({ clean: true });
    await withDiskFile(rack, id, expectUnmounted);
  });
});

/** The root's file system, the third partition, has an empty journal and needs no repair. */
async function expectUnmounted(file: string): Promise<void> {
  const start = await runProgram("partx", ["-g", "-r", "-o", "START", "-n", "3", file]);
  const root = `${file}?offset=${Number(start) * 512}`;
  const superblock = await runProgram("dumpe2fs", ["-h", root]);
  expect(superblock).toMatch(/^Filesystem state: +clean$/m);
  expect(superblock).not.toContain("needs_recovery");
  await runProgram("e2fsck", ["-fn", root]);
}
