/**
 * A node whose packets to the iSCSI portal are dropped, by a rule that the appliance itself can't see: where its boot
 * stands still is told wherever somebody looks, and forgotten once it goes on.
 */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { Boot, Finding, Node, Status } from "../../src/cli/answers.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";

const STATE = "/var/tmp/ingot-e2e-stalls";
const BOOT_MS = 150_000;
const SCREEN = 80;

let rack: Rack;
let node: RackNode;

beforeAll(async () => {
  await destroyEverything(STATE);
  const image = await buildTinyImage({ tag: "stalls" });
  rack = await createRack({ stateDirectory: STATE, name: "stalls", control: 462 });
  await rack.importImage("tiny", image);
  node = await rack.addNode({ name: "node-1", firmware: "bios" });
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.log(await bootStory(rack, node));
});
afterAll(() => destroyEverything(STATE));

const show = () => rack.ingotJson<Node>("node", "show", node.name);
const stalled = async () => (await rack.ingotJson<Status>("status")).counts.stalled;
const nft = (line: string) => rack.network.run(["nft", line]);

it("a script that nobody logs in after is told everywhere, until the boot goes on", {
  timeout: 2 * BOOT_MS,
}, async () => {
  await nft("add table inet broken");
  await nft("add chain inet broken input { type filter hook input priority 0; }");
  await nft(`add rule inet broken input iifname ${node.network} tcp dport 3260 drop`);
  await rack.ingot("provision", node.name, "--image", "tiny", "--no-wait");

  await expect
    .poll(async () => (await show()).stall, { timeout: BOOT_MS, interval: 500 })
    .toMatchObject({ kind: "no-login", stage: "script", attempts: 1, symptom: "script sent, no iSCSI login" });
  const page = await rack.ingot("node", "show", node.name);
  expect(page).toMatch(/^stalled: script sent, no iSCSI login \(for \d+ s\)$/m);
  expect(page).toMatch(/1\. it can't reach the portal 10\.77\.0\.1:3260\n {5}-> let tcp port 3260 in/);
  const picture = await rack.ingot("node", "timeline", node.name);
  expect(picture).toMatch(/\n {2}stalled: script sent, no iSCSI login \(for \d+ s\)\n/);
  const diagnosis = page.slice(page.indexOf("\nstalled: "));
  for (const line of `${diagnosis}\n${picture}`.split("\n")) expect(line.length).toBeLessThanOrEqual(SCREEN);
  expect(await stalled()).toBe(1);
  expect(await rack.ingot("status")).toContain("1 provisioned, 1 stalled;");
  const findings = await rack.ingotJson<Finding[]>("doctor");
  expect(findings).toContainEqual(
    expect.objectContaining({
      check: "boots",
      subject: node.name,
      state: "warning",
      message: "script sent, no iSCSI login: it can't reach the portal 10.77.0.1:3260?",
      remedy: expect.stringMatching(/^let tcp port 3260 in on the appliance/),
    }),
  );

  await nft("delete table inet broken");
  const stages = async () =>
    (await rack.ingotJson<Boot[]>("node", "timeline", node.name))[0]?.stages.map(({ stage }) => stage);
  await expect.poll(stages, { timeout: BOOT_MS, interval: 500 }).toContain("ready");
  expect((await show()).stall).toBeUndefined();
  expect(await stalled()).toBe(0);
});
