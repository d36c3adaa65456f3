/** `npm run lab` as a person starts it: killed in the middle, started again, and what it prints and leaves. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { destroyEverything } from "../lab/lab-state.ts";

const STATE = "/var/tmp/ingot-e2e-lab";
const root = resolve(import.meta.dirname, "../..");

beforeAll(() => destroyEverything(STATE));
afterAll(() => destroyEverything(STATE));

function startLab(...options: string[]): ChildProcess {
  return spawn(process.execPath, [join(root, "test/lab/main.ts"), "--state", STATE, "--name", "e2elab", ...options], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function output(lab: ChildProcess, until?: RegExp): Promise<string> {
  let text = "";
  const done = new Promise<void>((resolve) => {
    const take = (chunk: Buffer) => {
      text += chunk;
      if (until?.test(text)) resolve();
    };
    lab.stdout?.on("data", take);
    lab.stderr?.on("data", take);
    lab.on("close", () => resolve());
  });
  await done;
  return text;
}

function expectNothingLeft(): void {
  expect(existsSync(STATE)).toBe(false);
  expect(readdirSync("/run/netns").filter((name) => name.includes("e2elab"))).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(STATE);
  const commands = readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && pid !== String(process.pid))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8");
      } catch {
        return "";
      }
    });
  expect(commands.filter((command) => command.includes(STATE))).toEqual([]);
}

it("cleans up after itself when it was killed, and boots again", { timeout: 300_000 }, async () => {
  const first = startLab();
  const seen = await output(first, /ingot provision node-1/);
  expect(seen).toContain("ingot provision node-1");
  first.kill("SIGKILL");
  await once(first, "exit");
  expect(existsSync(STATE)).toBe(true);

  const second = startLab("--once");
  const text = await output(second);
  expect(second.exitCode, text).toBe(0);
  const last = JSON.parse(text.trimEnd().split("\n").at(-1) as string);
  expect(last).toMatchObject({ lab: "ok", nodes: [{ node: "node-1", firmware: "bios" }] });
  const [node] = last.nodes;
  expect(node.stages.map((one: { stage: string }) => one.stage)).toEqual([
    "power-on",
    "dhcp-ipxe",
    "script",
    "iscsi-login-firmware",
    "first-read",
    "iscsi-login-os",
    "ready",
  ]);
  expect(node.readySeconds).toBe(node.stages.at(-1).seconds);
  expect(node.cost.readBytes).toBeGreaterThan(10_000_000);
  expectNothingLeft();
});

it("goes away on ctrl-c without a trace", { timeout: 120_000 }, async () => {
  const lab = startLab();
  await output(lab, /importing image/);
  lab.kill("SIGINT");
  const [code] = await once(lab, "exit");
  expect(code).toBe(0);
  expectNothingLeft();
});

it("says what is wrong with its options", async () => {
  const lab = startLab("--firmware", "coreboot");
  const text = await output(lab);
  expect(text).toContain('--firmware: "coreboot" is neither bios nor uefi');
  expect(lab.exitCode).toBe(2);
});
