/** Power is lost to a whole rack, and returns: all nodes come up with nobody touching anything, at once. */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Node } from "../../../src/cli/answers.ts";
import { bmcCommand } from "../../lab/bmc-command.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { runOnNode } from "../../lab/node-shell.ts";
import { createRack, type Rack, type RackNode } from "../../lab/rack.ts";

const STATE = "/var/tmp/ingot-full-power";
const NODES = 8;
const MINUTE_MS = 60_000;
/** Eight machines boot on whatever cores there are, without acceleration. */
const BOOT_MS = 10 * MINUTE_MS;

let rack: Rack;
let nodes: RackNode[];

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "power" });
  const operations = { loginSeconds: BOOT_MS / 1000, readySeconds: BOOT_MS / 1000 };
  rack = await createRack({ stateDirectory: STATE, name: "arpower", control: 445, config: { operations } });
  await rack.importImage("tiny", image);
  nodes = [];
  for (let number = 1; number <= NODES; number++) {
    const firmware = number % 2 ? "bios" : "uefi";
    // their ROMs ask for some 20 s, and the appliance may take longer to come back
    nodes.push(await rack.addNode({ name: `node-${number}`, firmware, memoryMib: 384, retriesBoot: true }));
  }
  await Promise.all(nodes.map(({ name }) => rack.ingot("provision", name, "--image", "tiny")));
}, BOOT_MS + MINUTE_MS);

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") for (const node of nodes) console.log(await bootStory(rack, node));
});

afterAll(() => destroyEverything(STATE));

/** Sees all nodes up for the so manieth time, each on its own disk. */
async function allComeUp(marks: number[], count: number): Promise<void> {
  const began = Date.now();
  const up = nodes.map(async ({ console }, index) => {
    await console.waitForLine(new RegExp(`^INGOT-UP .* count=${count} `), BOOT_MS, marks[index]);
    return Math.round((Date.now() - began) / 1000);
  });
  const seconds = await Promise.all(up);
  console.log(`up after ${seconds.join(", ")} s`);
  for (const node of nodes) await node.console.waitForLine(/INGOT-READY/, MINUTE_MS);
  for (const { name } of nodes) {
    const armed = async () => (await rack.ingotJson<Node>("node", "show", name)).boots?.armed;
    await expect.poll(armed, { timeout: 10_000 }).toBe(false);
  }
}

/** Past the appliance, as a breaker does it. */
function powerAll(state: "on" | "off"): Promise<unknown> {
  return Promise.all(nodes.map((node) => bmcCommand(rack.network, node, ["chassis", "power", state])));
}

function marks(): Promise<number[]> {
  return Promise.all(nodes.map(({ console }) => console.mark()));
}

it("power to all nodes", { timeout: 2 * BOOT_MS }, async () => {
  for (const node of nodes) await runOnNode(node, `echo ${node.name} >/root/name && sync`, MINUTE_MS);
  const since = await marks();
  await powerAll("off");
  await powerAll("on");
  await allComeUp(since, 2);
  for (const node of nodes) expect(await runOnNode(node, "cat /root/name", MINUTE_MS)).toBe(node.name);
});

it("power to all nodes and to the appliance", { timeout: 2 * BOOT_MS }, async () => {
  const since = await marks();
  await powerAll("off");
  for (const daemon of ["ingotd", "storaged", "tgtd-0"]) await rack.end(daemon, "SIGKILL");
  await powerAll("on");
  await rack.startTgtd();
  await rack.startStoraged();
  await rack.startIngotd();
  await allComeUp(since, 3);
});
