/** `npm run lab` as a person starts it: killed in the middle, started again, and what it prints and leaves. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { destroyEverything } from "../lab/lab-state.ts";
import { expectNothingLeft, labOutput, runLabOnce, startLab } from "./lab-command.ts";

const PLACE = { state: "/var/tmp/ingot-e2e-lab", name: "e2elab" };

beforeAll(() => destroyEverything(PLACE.state));
afterAll(() => destroyEverything(PLACE.state));

it("cleans up after itself when it was killed, and boots again", { timeout: 300_000 }, async () => {
  const first = startLab(PLACE);
  const seen = await labOutput(first, /ingot provision node-1/);
  expect(seen).toContain("ingot provision node-1");
  first.kill("SIGKILL");
  await once(first, "exit");
  expect(existsSync(PLACE.state)).toBe(true);

  const { nodes } = await runLabOnce(PLACE);
  expect(nodes).toMatchObject([{ node: "node-1", firmware: "bios" }]);
  const node = nodes[0]!;
  expect(node.stages.map(({ stage }) => stage)).toEqual([
    "power-on",
    "dhcp-ipxe",
    "script",
    "iscsi-login-firmware",
    "first-read",
    "iscsi-login-os",
    "ready",
  ]);
  expect(node.readySeconds).toBe(node.stages.at(-1)?.seconds);
  expect(node.cost.readBytes).toBeGreaterThan(10_000_000);
  expectNothingLeft(PLACE);
});

it("isolates two projects behind Open vSwitch, as its nodes see it", { timeout: 500_000 }, async () => {
  const { nodes, reached } = await runLabOnce(PLACE, "--isolation", "ovs");
  expect(nodes.map(({ node }) => node)).toEqual(["blue-1", "blue-2", "red-1", "red-2"]);
  for (const project of ["red", "blue"]) {
    const own = [`${project}-1`, `${project}-2`, `${project}'s portal`, `${project}'s boot server`];
    for (const node of own.slice(0, 2)) expect(reached?.[node], node).toEqual(own);
  }
  expectNothingLeft(PLACE);
});

it("goes away on ctrl-c without a trace", { timeout: 120_000 }, async () => {
  const lab = startLab(PLACE);
  await labOutput(lab, /importing image/);
  lab.kill("SIGINT");
  const [code] = await once(lab, "exit");
  expect(code).toBe(0);
  expectNothingLeft(PLACE);
});

it("says what is wrong with its options", async () => {
  const lab = startLab(PLACE, "--firmware", "coreboot");
  const text = await labOutput(lab);
  expect(text).toContain('--firmware: "coreboot" is neither bios nor uefi');
  expect(lab.exitCode).toBe(2);
});
