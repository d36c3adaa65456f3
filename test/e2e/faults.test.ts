/**
 * What a running node must not notice, and what strangers on its network must not get. One node, which writes to its
 * disk all the time; each test goes on where the one before it ended.
 *
 *   namespace ingot-hdffault: prov0 10.77.0.1 --- tap --- node-1
 *                                             \-- veth --- namespace ingot-hdffault-stranger
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Boot, Disk, Lease, Status } from "../../src/cli/answers.ts";
import { bmcCommand } from "../lab/bmc-command.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runOnNode } from "../lab/node-shell.ts";
import { type PacketCapture, startCapture } from "../lab/packet-capture.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";
import { storedChaps } from "./secrets.ts";
import { Stranger } from "./stranger.ts";
import { findTarget, listPortals } from "./target-view.ts";

const STATE = "/var/tmp/ingot-e2e-faults";
const LEASE_SECONDS = 10;
const ADDRESS = "10.77.0.100";
const OTHER_ADDRESS = "10.77.0.101";
const PORTAL = "10.77.0.1:3260";
const BOOT_SECONDS = 120;
const BOOT_MS = BOOT_SECONDS * 1000;
const WRITES = /^IO-WRITER block=(\d+) slowest=(\d+)/;

let rack: Rack;
let node: RackNode;
let disk: Disk;
let readyAt: number;
/** Every DHCP packet of the node since its OS is up. */
let renewals: PacketCapture;
let stranger: Stranger;

beforeAll(async () => {
  await destroyEverything(STATE);
  const image = await buildTinyImage({ tag: "faults" });
  rack = await createRack({
    stateDirectory: STATE,
    name: "hdffault",
    control: 755,
    networkConfig: { leaseSeconds: LEASE_SECONDS, pool: [{ from: ADDRESS, to: OTHER_ADDRESS }] },
    config: { operations: { loginSeconds: BOOT_SECONDS, readySeconds: 60 } },
  });
  await rack.importImage("tiny", image);
  node = await rack.addNode({ name: "node-1", firmware: "bios" });
  stranger = new Stranger(rack.network, node.network);
  await stranger.connect();
});

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.log(await bootStory(rack, node));
});

afterAll(() => destroyEverything(STATE));

// without this boot there is nothing to look at: every test is skipped
beforeAll(async () => {
  try {
    await rack.ingot("provision", node.name, "--image", "tiny");
    readyAt = Date.now();
    const filter = `ether src ${node.mac} and udp dst port 67`;
    renewals = await startCapture(rack.network, { name: "renewals", interface: node.network, filter });
    disk = await rack.ingotJson<Disk>("disk", "show", "node-1-1");
    await runOnNode(node, "(io-writer >/dev/null 2>&1 &)");
    await blocksWritten(0);
  } catch (error) {
    console.log(await bootStory(rack, node));
    throw error;
  }
}, BOOT_MS + 60_000);

/** What io-writer says next: how many blocks it wrote, and the seconds that its slowest one took. */
async function blocksWritten(since: number): Promise<{ blocks: number; slowest: number }> {
  const [, blocks, slowest] = await node.console.waitForLine(WRITES, 60_000, since);
  return { blocks: Number(blocks), slowest: Number(slowest) };
}

/** The session of the node's OS, the last that logged in. */
async function osSession(): Promise<string | undefined> {
  return (await findTarget(rack, disk.id))?.sessions.at(-1)?.id;
}

/** Lines on the console that are not io-writer's good news. */
async function complaints(since: number): Promise<string[]> {
  return (await node.console.lines(since)).filter((line) => line.trim() !== "" && !WRITES.test(line));
}

describe("a node that writes does not notice", () => {
  it.for([
    ["ingotd", "SIGTERM"],
    ["ingotd", "SIGKILL"],
    ["storaged", "SIGTERM"],
    ["storaged", "SIGKILL"],
  ] as const)("that %s is ended by %s and started again", async ([daemon, signal]) => {
    const session = await osSession();
    const since = await node.console.mark();

    await rack.end(daemon, signal);
    await (daemon === "ingotd" ? rack.startIngotd() : rack.startStoraged());

    const pool = async () => (await rack.ingotJson<Status>("status")).pool;
    await expect.poll(pool, { timeout: 15_000 }).toHaveProperty("freeBytes");
    await blocksWritten(await node.console.mark());
    expect(await complaints(since)).toEqual([]);
    expect(session).toBeDefined();
    expect(await osSession()).toBe(session);
  });
});

it("gets its disk back within 3 seconds when tgtd is killed under it, and writes on", async () => {
  const since = await node.console.mark();
  await rack.end("tgtd-0", "SIGKILL");
  const began = performance.now();
  await rack.startTgtd();
  const served = async () => (await findTarget(rack, disk.id))?.openTo.includes(ADDRESS);
  const open = async () => (await listPortals(rack)).includes(PORTAL);
  await expect.poll(async () => (await served()) && (await open()), { timeout: 20_000, interval: 10 }).toBe(true);
  const backMs = performance.now() - began;
  await expect.poll(osSession, { timeout: 30_000, interval: 10 }).toBeDefined();
  const sessionMs = performance.now() - began;

  const { slowest } = await blocksWritten(await node.console.mark());

  const figures = [`target and portal ${Math.round(backMs)} ms`, `session ${Math.round(sessionMs)} ms`];
  console.log(`after the start of the new tgtd: ${figures.join(", ")}; slowest write in the node ${slowest} s`);
  expect(backMs).toBeLessThan(3000);
  expect((await node.console.lines(since)).join("\n")).not.toContain("IO-ERROR");
  await runOnNode(node, `! dmesg | grep -E "I/O error|EXT4-fs error"`);
});

it("keeps its address past twice the lease time without a renewal", async () => {
  await sleep(Math.max(0, readyAt + 2.5 * LEASE_SECONDS * 1000 - Date.now()));
  await renewals.end();
  expect(await renewals.list()).toEqual([]);
  const ours = async () => (await rack.ingotJson<Lease[]>("lease", "list")).find(({ address }) => address === ADDRESS);
  expect(await ours()).toMatchObject({ mac: node.mac, node: node.name, state: "pinned" });

  expect(await stranger.askAddress("52:54:00:77:ff:01", ADDRESS)).toBe(OTHER_ADDRESS);
  // not even when no other one is left
  expect(await stranger.askAddress("52:54:00:77:ff:02", ADDRESS)).not.toBe(ADDRESS);

  expect(await ours()).toMatchObject({ mac: node.mac, state: "pinned" });
  const url = `http://10.77.0.1/boot/${node.mac}/ready`;
  expect(await runOnNode(node, `wget -q -O - --post-data "" ${url}`)).toMatch(/^ok$/m);
});

describe("a stranger on the network", () => {
  beforeAll(() => stranger.takeAddress(OTHER_ADDRESS));

  it("gets no node's script, and can't speak for a node", async () => {
    const script = `http://10.77.0.1/boot/${node.mac}`;
    const told = [
      await stranger.fetch(script),
      await stranger.fetch(script, "--user-agent", "iPXE/1.0.0"),
      await stranger.fetch(`${script}/ready`, "--data", ""),
    ];
    expect(told.map(({ status }) => status)).toEqual([403, 200, 403]);
    expect(told[1]?.body).toContain(`does not belong to ${node.mac}`);
    const { user, secret } = await chapInForce();
    for (const { body } of told) {
      expect(body).not.toContain(user);
      expect(body).not.toContain(secret);
    }
  });

  it("gets no node's disk, though it knows all names and the secret", async () => {
    expect(await stranger.discover(PORTAL)).toEqual([]);
    expect(await stranger.login(PORTAL, await chapInForce())).toMatch(/login.*failed/i);
  });
});

/** Everything that the node's iPXE is told to log in with. */
async function chapInForce() {
  const target = await findTarget(rack, disk.id);
  const chap = (await storedChaps(rack)).find(({ user }) => target?.accounts.includes(user));
  const initiator = target?.sessions.at(-1)?.initiator;
  if (!target || !chap || !initiator) throw new Error("the node has no session");
  return { ...chap, iqn: target.iqn, initiator };
}

it("comes back from a reboot with all that was written, at the same address", {
  timeout: BOOT_MS + 60_000,
}, async () => {
  const since = await node.console.mark();
  const { blocks } = await blocksWritten(since);
  node.console.write("reboot\n");
  await node.console.waitForLine(/INGOT-DOWN clean/, 30_000, since);
  await node.console.waitForLine(/^INGOT-UP .* count=2 /, BOOT_MS, since);
  await node.console.waitForLine(/INGOT-READY/, 30_000, since);

  const boots = await rack.ingotJson<Boot[]>("node", "timeline", node.name);
  const addresses = boots.map((boot) => boot.stages.find(({ stage }) => stage === "dhcp-ipxe")?.address);
  expect(addresses).toEqual([ADDRESS, ADDRESS]);

  // line n (from 0) holds the number of the block that was last written there: n, n + 1024, ...
  const lines = "dd if=/var/lib/io-writer.blocks bs=4096 skip=1 2>/dev/null";
  const judge = "awk '$1 % 1024 != NR % 1024 { bad++ } $1 > last { last = $1 } END { print bad + 0, last }'";
  const [bad, last] = (await runOnNode(node, `${lines} | ${judge}`)).split(" ").map(Number);
  expect(bad).toBe(0);
  expect(last).toBeGreaterThanOrEqual(blocks);
});

it("is not impersonated at its own address by one who does not know the secret", async () => {
  const chap = await chapInForce();
  const { user: _, secret: __, ...unknown } = chap;
  await bmcCommand(rack.network, node, ["chassis", "power", "off"]);
  expect(await node.running()).toBe(false);
  await stranger.takeAddress(ADDRESS);

  // what the appliance goes by is the address
  expect(await stranger.discover(PORTAL)).toEqual([chap.iqn]);
  expect(await stranger.login(PORTAL, { ...chap, secret: "wrong-secret-123" })).toMatch(/login.*failed/i);
  expect(await stranger.login(PORTAL, { ...unknown, initiator: "iqn.2026-11.org.stranger:x" })).toMatch(/failed/i);
  // and what keeps it out is nothing else
  expect(await stranger.login(PORTAL, chap)).toContain(disk.id);
});
