import { expect } from "vitest";
import type { Disk } from "../../src/cli/answers.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runOnNode } from "../lab/node-shell.ts";
import { createRack, type Rack, type RackNode, type RackOptions } from "../lab/rack.ts";
import { findTarget } from "./target-view.ts";

const BOOT_SECONDS = 120;
const ROUND_MS = 120_000;
const MIB = 1024 ** 2;
const ROUND_MIB = 4;
/** fio brings 84 MB of libraries. */
const ROOT_MIB = 192;
/** More than its kernel has under way at a time. */
const QUEUE_BYTES = MIB;

/** A running node on which fio writes all the time, reads back and compares. */
export type FioNode = { rack: Rack; node: RackNode; disk: Disk };

/** Boots it in a rack of its own, and returns once fio has compared its first round. */
export async function bootFioNode(options: RackOptions): Promise<FioNode> {
  await destroyEverything(options.stateDirectory);
  const image = await buildTinyImage({ tag: "fio", programs: ["/usr/bin/fio"], rootMib: ROOT_MIB });
  const operations = { loginSeconds: BOOT_SECONDS, readySeconds: 60 };
  const rack = await createRack({ ...options, config: { operations } });
  await rack.importImage("fio", image);
  const node = await rack.addNode({ name: "node-1", firmware: "bios" });
  try {
    await rack.ingot("provision", node.name, "--image", "fio");
    const disk = await rack.ingotJson<Disk>("disk", "show", "node-1-1");
    await runOnNode(node, `(fio-rounds ${ROUND_MIB}M >/dev/null 2>&1 &)`);
    await roundCompared({ rack, node, disk });
    return { rack, node, disk };
  } catch (error) {
    console.log(await bootStory(rack, node));
    throw error;
  }
}

/** Waits for the end of a round of fio, and fails with the first that went wrong. */
export async function roundCompared({ node }: FioNode, deadlineMs = ROUND_MS): Promise<void> {
  const since = await node.console.mark();
  const [line] = await node.console.waitForLine(/FIO-(ROUND|BAD).*/, deadlineMs, since);
  expect(line).not.toContain("FIO-BAD");
}

/** Waits until fio has written half of a new round: what is lost now is missed when it compares. */
export async function halfWritten(writer: FioNode): Promise<void> {
  await roundCompared(writer);
  const before = await writtenBytes(writer);
  const half = async () => (await writtenBytes(writer)) - before;
  await expect.poll(half, { timeout: ROUND_MS, interval: 20 }).toBeGreaterThan((ROUND_MIB * MIB) / 2);
}

async function writtenBytes({ rack, disk }: FioNode): Promise<number> {
  const sessions = (await findTarget(rack, disk.id))?.sessions ?? [];
  return sessions.reduce((sum, session) => sum + (session.writtenBytes ?? 0), 0);
}

/** Has the node log in to a new tgtd after the old one was killed. */
export async function killTgtd({ rack, disk }: FioNode): Promise<void> {
  await rack.end("tgtd-0", "SIGKILL");
  await rack.startTgtd();
  await backOnDisk({ rack, disk });
}

/**
 * Waits until the node has written what it had under way, and more, to the tgtd that runs now: its kernel gives a write up that
 * six of them in a row don't take.
 */
export async function writesAgain(writer: FioNode): Promise<void> {
  await expect.poll(() => writtenBytes(writer), { timeout: ROUND_MS, interval: 20 }).toBeGreaterThan(QUEUE_BYTES);
}

/** Waits until the node has a session again. */
export async function backOnDisk({ rack, disk }: Pick<FioNode, "rack" | "disk">): Promise<void> {
  const sessions = async () => (await findTarget(rack, disk.id).catch(() => undefined))?.sessions.length ?? 0;
  await expect.poll(sessions, { timeout: 60_000, interval: 50 }).toBeGreaterThan(0);
}

/** Lets fio finish its round; answers how many there were, all of them right, in a node that saw no error. */
export async function endRounds({ node }: FioNode): Promise<number> {
  await runOnNode(node, "touch /run/fio-rounds.stop", ROUND_MS);
  const [line, rounds] = await node.console.waitForLine(/FIO-(?:END|BAD).*round=(\d+).*/, ROUND_MS);
  expect(line).toContain("FIO-END");
  expect((await node.console.lines()).filter((one) => one.includes("FIO-BAD"))).toEqual([]);
  await runOnNode(node, `! dmesg | grep -E "I/O error|EXT4-fs error"`);
  return Number(rounds);
}
