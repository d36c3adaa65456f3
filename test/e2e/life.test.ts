/**
 * The life of a disk: it boots a node, is snapshotted under the running OS, survives a reboot, is released, goes on on
 * another node, is taken from that one, and is deleted. Two machines, one rack; each test goes on where the one before
 * it ended.
 */
import { readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Boot, Disk, Image, Lease, Node, Operation } from "../../src/cli/answers.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runOnNode } from "../lab/node-shell.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";
import { expectSoundFileSystem, stored } from "./pool-view.ts";
import { readTexts, recordStarts, runningCommandLines, storedChaps } from "./secrets.ts";
import { findTarget, listAccounts, listTargets } from "./target-view.ts";

const STATE = "/var/tmp/ingot-e2e-life";
/** Stands before the programs that are given secrets; outside STATE, which the rack makes anew. */
const PROGRAMS = `${STATE}-programs`;
const BOOT_SECONDS = 120;
const BOOT_MS = BOOT_SECONDS * 1000;
const TO_READY = ["dhcp-ipxe", "script", "iscsi-login-firmware", "first-read", "iscsi-login-os", "ready"];

let rack: Rack;
let first: RackNode;
let second: RackNode;
/** node-1's disk, which lives from the first test to the last. */
let disk: Disk;
/** The CHAP accounts that were ever in use, and their secrets. */
const chaps = new Map<string, string>();
/** What ran while nodes were provisioned, and every start of ipmitool. */
const commandLines = new Set<string>();
let ipmitoolStarts: string;

beforeAll(async () => {
  await destroyEverything(STATE);
  ipmitoolStarts = await recordStarts("ipmitool", PROGRAMS);
  const image = await buildTinyImage({ tag: "life" });
  const operations = { loginSeconds: BOOT_SECONDS, readySeconds: 60 };
  rack = await createRack({ stateDirectory: STATE, name: "hdflife", control: 750, config: { operations } });
  await rack.importImage("tiny", image);
  first = await rack.addNode({ name: "node-1", firmware: "bios" });
  second = await rack.addNode({ name: "node-2", firmware: "bios" });
});

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const node of [first, second]) console.log(await bootStory(rack, node));
});

afterAll(async () => {
  await destroyEverything(STATE);
  await rm(PROGRAMS, { recursive: true });
});

/** Provisions a node, and notes the credentials of the attachment and what runs. */
async function provision(node: RackNode, ...how: string[]): Promise<Operation> {
  const operation = await rack.ingotJson<Operation>("provision", node.name, ...how);
  for (const { user, secret } of await storedChaps(rack)) chaps.set(user, secret);
  for (const line of await runningCommandLines()) commandLines.add(line);
  return operation;
}

function showDisk(name: string): Promise<Disk> {
  return rack.ingotJson<Disk>("disk", "show", name);
}

/** What the OS said of its newest boot since a mark on its console. */
async function upLine(node: RackNode, since: number): Promise<string> {
  const [line] = await node.console.waitForLine(/^INGOT-UP .*/, BOOT_MS, since);
  await node.console.waitForLine(/INGOT-READY/, 30_000, since);
  return line;
}

/** Of this disk's last attachment nothing is in force any more: target, account, lease, boot entry, secret. */
async function expectReleased(node: RackNode): Promise<void> {
  expect(await node.running()).toBe(false);
  expect((await rack.ingotJson<Node>("node", "show", node.name)).boots).toBeUndefined();
  const leases = await rack.ingotJson<Lease[]>("lease", "list");
  expect(leases.filter(({ mac }) => mac === node.mac)).toEqual([]);
  const attached = (await rack.ingotJson<Disk[]>("disk", "list")).filter((one) => one.node !== undefined);
  const targets = await listTargets(rack);
  expect(targets.map(({ iqn }) => iqn.split(":").at(-1))).toEqual(attached.map(({ id }) => id));
  expect(await listAccounts(rack)).toEqual(targets.flatMap(({ accounts }) => accounts));
}

/** The files of the state directory, after a restart has dropped the journal, that still hold one of these words. */
async function traces(words: Iterable<string>, isAsked: (path: string) => boolean = () => true): Promise<string[]> {
  await rack.end("ingotd");
  await rack.startIngotd();
  const wanted = [...words];
  const texts = await readTexts(join(STATE, "state"));
  const found = [...texts].filter(([path, text]) => isAsked(path) && wanted.some((word) => text.includes(word)));
  return found.map(([path]) => basename(path)).sort();
}

/** All but what machines printed: their firmware says the names of its disks. */
const isRecord = (path: string) => !path.includes("/consoles/");

// without this boot there is nothing to look at: every test is skipped
beforeAll(async () => {
  try {
    await provision(first, "--image", "tiny");
    disk = await showDisk("node-1-1");
    await runOnNode(first, "echo written by node-1 >/root/letter && sync");
    await rack.ingot("disk", "snapshot", disk.name, "--as", "snap");
  } catch (error) {
    console.log(await bootStory(rack, first));
    throw error;
  }
}, BOOT_MS + 60_000);

it("has all of the node's boot in the log of its console, from firmware to OS", async () => {
  const { log } = await rack.ingotJson<{ log: string[] }>("console", first.name);
  const said = log.join("\n");
  expect(said).toMatch(/SeaBIOS.*iPXE.*INGOT-UP.*INGOT-READY/s);
  expect(said).toContain(": console open]");
});

it("is heard again on its console once ingotd, killed, is back", { timeout: 180_000 }, async () => {
  await rack.end("ingotd", "SIGKILL");
  await rack.startIngotd();
  const open = /: console open\]/g;
  const said = async () => (await rack.ingotJson<{ log: string[] }>("console", first.name)).log.join("\n");
  await vi.waitFor(async () => expect((await said()).match(open)).toHaveLength(2), { timeout: 120_000, interval: 500 });
  await runOnNode(first, "echo heard-$((40 + 2))");
  await vi.waitFor(async () => expect(await said()).toContain("heard-42"), { timeout: 30_000, interval: 500 });
});

describe.concurrent("a running node", { timeout: BOOT_MS + 60_000 }, () => {
  it("lends its files to another node that boots its snapshot", async () => {
    await provision(second, "--image", "snap", "--size", "256M");
    const up = await upLine(second, 0);
    const its = await showDisk("node-2-1");
    expect(up).toMatch(new RegExp(`target=\\S+:${its.id} fw=bios count=2 tag=life mac=${second.mac}`));
    expect(await runOnNode(second, "cat /root/letter")).toBe("written by node-1");
    // its root came with 32 MiB
    const rootKib = await runOnNode(second, "df -k / | tail -n 1 | awk '{ print $2 }'");
    expect(Number(rootKib)).toBeGreaterThan(150_000);
    expect((await rack.ingotJson<Image>("image", "show", "snap")).origin).toMatchObject({
      kind: "snapshot",
      clean: false,
    });
  });

  it("comes back after a reboot, and both boots are listed", async () => {
    const since = await first.console.mark();
    const address = await addressOf(first);
    first.console.write("reboot\n");
    await first.console.waitForLine(/INGOT-DOWN clean/, 30_000, since);
    expect(await upLine(first, since)).toMatch(new RegExp(`target=\\S+:${disk.id} fw=bios count=2 `));
    expect(await runOnNode(first, "cat /root/letter")).toBe("written by node-1");
    expect(await addressOf(first)).toBe(address);

    const boots = await rack.ingotJson<Boot[]>("node", "timeline", first.name);
    const stages = boots.map((boot) => boot.stages.map(({ stage }) => stage));
    expect(stages).toEqual([TO_READY, ["power-on", ...TO_READY]]);
    const addresses = boots.map((boot) => boot.stages.find(({ stage }) => stage === "dhcp-ipxe")?.address);
    expect(addresses).toEqual([address, address]);
  });
});

async function addressOf(node: RackNode): Promise<string | undefined> {
  return (await rack.ingotJson<Node>("node", "show", node.name)).boots?.address;
}

describe("release", { timeout: BOOT_MS + 60_000 }, () => {
  it("with its disk leaves nothing of the node's boot", async () => {
    const its = await showDisk("node-2-1");
    const { accounts } = (await findTarget(rack, its.id))!;
    expect(await stored(rack)).toContain(its.id);
    const since = await second.console.mark();

    await rack.ingot("deprovision", second.name, "--delete-disk");

    await second.console.waitForLine(/INGOT-DOWN clean/, 1000, since);
    await expectReleased(second);
    const images = await rack.ingotJson<Image[]>("image", "list");
    expect(await stored(rack)).toEqual([...images.map(({ id }) => id), disk.id].sort());
    // that it was once deleted, and who had it when, is history, kept for people
    expect(await traces([its.id], isRecord)).toEqual(["operations.json", "tenures.json"]);
    expect(await traces(accounts)).toEqual([]);
  });

  it("without its disk keeps that clean, and another node goes on with it", async () => {
    const { accounts } = (await findTarget(rack, disk.id))!;
    const since = await first.console.mark();
    await rack.ingot("deprovision", first.name, "--keep-disk");
    await first.console.waitForLine(/INGOT-DOWN clean/, 1000, since);
    const kept = await showDisk(disk.name);
    expect(kept).toMatchObject({ id: disk.id, clean: true });
    expect(kept.node).toBeUndefined();
    await expectReleased(first);
    expect(await traces(accounts)).toEqual([]);
    await expectSoundFileSystem(rack, disk.id);

    const sinceMove = await second.console.mark();
    await provision(second, "--disk", disk.name);

    expect(await upLine(second, sinceMove)).toMatch(new RegExp(`target=\\S+:${disk.id} fw=bios count=3 `));
    expect(await runOnNode(second, "cat /root/letter")).toBe("written by node-1");
    expect((await findTarget(rack, disk.id))?.accounts).not.toEqual(accounts);
  });
});

describe("taking a disk away", { timeout: BOOT_MS + 60_000 }, () => {
  it("needs a word of force while its node runs", async () => {
    await expect(rack.ingot("provision", first.name, "--disk", disk.name)).rejects.toThrow(/attached to node node-2/);
    expect(await second.running()).toBe(true);
  });

  it("powers its node off before another one is switched on", async () => {
    const since = await first.console.mark();
    const provisioned = provision(first, "--disk", disk.name, "--force-off");
    let both = 0;
    await expect
      .poll(
        async () => {
          const [one, other] = [await first.running(), await second.running()];
          if (one && other) both += 1;
          return one;
        },
        { timeout: 30_000, interval: 20 },
      )
      .toBe(true);
    expect(both).toBe(0);

    const steps = (await provisioned).steps.map(({ name }) => name);
    expect(steps.slice(0, 2)).toEqual(["fence-other", "release-other"]);
    expect(await upLine(first, since)).toMatch(new RegExp(`target=\\S+:${disk.id} fw=bios count=4 `));
    expect(await runOnNode(first, "cat /root/letter")).toBe("written by node-1");
    await expectReleased(second);
  });

  it("at once marks it unclean", async () => {
    const since = await first.console.mark();
    await rack.ingot("deprovision", first.name, "--keep-disk", "--now");
    expect((await first.console.lines(since)).join("\n")).not.toContain("INGOT-DOWN");
    expect(await showDisk(disk.name)).toMatchObject({ clean: false });
    await expectReleased(first);
  });
});

it("leaves the appliance as it was before", async () => {
  await rack.ingot("disk", "rm", disk.name);
  await rack.ingot("image", "rm", "snap");
  const [tiny, ...others] = await rack.ingotJson<Image[]>("image", "list");
  expect(others).toEqual([]);
  expect(await rack.ingotJson("disk", "list")).toEqual([]);
  expect(await rack.ingotJson("lease", "list")).toEqual([]);
  expect(await stored(rack)).toEqual([tiny!.id]);
  expect(await traces([disk.id], isRecord)).toEqual(["operations.json", "tenures.json"]);
});

/** What nobody but appliance, BMCs and nodes may know. */
function secrets(): string[] {
  return [...chaps.values(), first.bmc.password, second.bmc.password];
}

it("left no secret in its state, a log or a console", async () => {
  expect(chaps.size).toBeGreaterThan(0);
  const logs = [...(await readTexts(STATE))].filter(([path]) => path.endsWith(".log"));
  const names = logs.map(([path]) => basename(path));
  expect(names).toEqual(expect.arrayContaining(["ingotd.log", "storaged.log", "tgtd-0.log", "console.log"]));
  const telling = logs.filter(([, text]) => secrets().some((word) => text.includes(word)));
  expect(telling.map(([path]) => path)).toEqual([]);
  expect(await traces([...chaps.keys(), ...chaps.values()])).toEqual([]);
});

it("never named a secret on a command line", async () => {
  const starts = (await readFile(ipmitoolStarts, "utf8")).split("\n");
  expect(starts.join()).toContain("chassis power on");
  const telling = [...starts, ...commandLines].filter((line) => secrets().some((word) => line.includes(word)));
  expect(telling).toEqual([]);
});
