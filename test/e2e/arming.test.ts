/**
 * Who gets a disk's secret: a node that starts anew, whoever restarted it, with nobody touching anything; and no stranger
 * in the name of a node that runs.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Boot, Node } from "../../src/cli/answers.ts";
import { bmcCommand } from "../lab/bmc-command.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { runOnNode } from "../lab/node-shell.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";
import { storedChaps } from "./secrets.ts";
import { Stranger } from "./stranger.ts";
import { listTargets } from "./target-view.ts";

const STATE = "/var/tmp/ingot-e2e-arming";
const BOOT_MS = 150_000;
/** Longer than the silence by which a dead OS is told from a living one. */
const SIEGE_MS = 25_000;

let rack: Rack;
let node: RackNode;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "arming" });
  const operations = { loginSeconds: BOOT_MS / 1000, readySeconds: 60 };
  rack = await createRack({ stateDirectory: STATE, name: "ararm", control: 440, config: { operations } });
  await rack.importImage("tiny", image);
  node = await rack.addNode({ name: "node-1", firmware: "bios" });
  try {
    await rack.ingot("provision", node.name, "--image", "tiny");
  } catch (error) {
    console.log(await bootStory(rack, node));
    throw error;
  }
}, BOOT_MS + 60_000);

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.log(await bootStory(rack, node));
});

afterAll(() => destroyEverything(STATE));

async function shown(): Promise<NonNullable<Node["boots"]>> {
  const { boots } = await rack.ingotJson<Node>("node", "show", node.name);
  if (!boots) throw new Error("it is not provisioned");
  return boots;
}

/** Waits until the node's OS says that it is up again, for the so manieth time. */
async function comesUp(since: number, count: number): Promise<void> {
  const began = Date.now();
  await node.console.waitForLine(new RegExp(`^INGOT-UP .* count=${count} `), BOOT_MS, since);
  console.log(`up after ${Math.round((Date.now() - began) / 1000)} s`);
  await node.console.waitForLine(/INGOT-READY/, 30_000, since);
}

describe("a node", { timeout: BOOT_MS + 60_000 }, () => {
  it("is disarmed once it is up, and only its OS has a session", async () => {
    expect(await shown()).toMatchObject({ armed: false });
    await expect
      .poll(async () => (await listTargets(rack)).flatMap(({ sessions }) => sessions).length, { timeout: 30_000 })
      .toBe(1);
  });

  it("gives its secret to no stranger who fakes its MAC and address while it runs", async () => {
    const { address } = await shown();
    const stranger = new Stranger(rack.network, "prov0");
    await stranger.connect();
    const secrets = (await storedChaps(rack)).flatMap(({ user, secret }) => [user, secret]);
    expect(secrets.length).toBeGreaterThan(0);
    expect(await stranger.askAddress(node.mac, address as string)).toBe(address);
    const url = `http://${rack.addresses[0]}/boot/${node.mac}`;
    const until = Date.now() + SIEGE_MS;
    const told: string[] = [];
    const ask = async () => {
      // its packets and the node's cross in the bridge, so not every request gets its answer
      const { status, body } = await stranger.fetch(url, "-A", "iPXE/1.0").catch(() => ({ status: 0, body: "" }));
      if (status === 200) told.push(body);
      return Date.now() > until;
    };
    await expect.poll(ask, { timeout: SIEGE_MS + 30_000, interval: 500 }).toBe(true);
    expect(told.filter((body) => secrets.some((secret) => body.includes(secret)))).toEqual([]);
    expect(told.filter((body) => !body.includes("was up when it was last heard of"))).toEqual([]);
    expect(told.length).toBeGreaterThan(5);
    const { armed, unarmedRequest } = await shown();
    expect(armed).toBe(false);
    expect(unarmedRequest).toMatchObject({ finding: "its OS runs, and somebody else asks in its name" });
    expect(await readFile(join(STATE, "ingotd.log"), "utf8")).toContain("somebody asks in the name of a running node");
    const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", node.name);
    expect(boot?.refusals.map(({ reason }) => reason)).toEqual(expect.arrayContaining(["unarmed", "os-still-up"]));
    await stranger.run(["ip", "link", "set", "nic", "down"]);
    expect(await runOnNode(node, "echo 1 >/root/lives && sync && cat /root/lives", 60_000)).toBe("1");
  });

  it("comes up by itself after a reboot in its OS", async () => {
    const since = await node.console.mark();
    node.console.write("reboot\n");
    await comesUp(since, 2);
    await expect.poll(async () => (await shown()).armed, { timeout: 10_000 }).toBe(false);
  });

  it("comes up by itself after a reset that somebody else's ipmitool makes", async () => {
    const since = await node.console.mark();
    await bmcCommand(rack.network, node, ["chassis", "power", "reset"]);
    await comesUp(since, 3);
  });

  it("is armed by a reset through us", async () => {
    const since = await node.console.mark();
    await rack.ingot("node", "power", node.name, "reset", "--yes");
    await node.console.waitForLine(/Ingot: node-1 boots disk/, BOOT_MS, since);
    expect((await node.console.lines(since)).join("\n")).not.toContain("making sure that it is down");
  });
});
