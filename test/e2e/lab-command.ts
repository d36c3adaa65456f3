import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import type { BootCost } from "../lab/boot-cost.ts";

const main = resolve(import.meta.dirname, "../lab/main.ts");

/** Where a lab keeps its files, and its name, which is unique on this machine. */
export type LabPlace = { state: string; name: string };

/** The last line that `npm run lab -- --once` prints. */
export type LabOutcome = {
  lab: "ok" | "failed";
  nodes: {
    node: string;
    firmware: string;
    stages: { stage: string; seconds: number }[];
    readySeconds: number;
    cost: BootCost;
  }[];
  /** With --isolation: what each node reached, by the names in the table. */
  reached?: Record<string, string[]>;
};

/** Starts what `npm run lab` starts, with these options. */
export function startLab({ state, name }: LabPlace, ...options: string[]): ChildProcess {
  return spawn(process.execPath, [main, "--state", state, "--name", name, ...options], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** What a lab prints, until that matches or the lab has ended. */
export async function labOutput(lab: ChildProcess, until?: RegExp): Promise<string> {
  let text = "";
  await new Promise<void>((resolve) => {
    const take = (chunk: Buffer) => {
      text += chunk;
      if (until?.test(text)) resolve();
    };
    lab.stdout?.on("data", take);
    lab.stderr?.on("data", take);
    lab.on("close", () => resolve());
  });
  return text;
}

/** Runs a lab with --once to its end, which must be a good one, and reads its last line. */
export async function runLabOnce(place: LabPlace, ...options: string[]): Promise<LabOutcome> {
  const lab = startLab(place, "--once", ...options);
  const text = await labOutput(lab);
  expect(lab.exitCode, text).toBe(0);
  const outcome = JSON.parse(text.trimEnd().split("\n").at(-1) as string) as LabOutcome;
  expect(outcome.lab).toBe("ok");
  return outcome;
}

/** Neither files nor namespaces, mounts or processes of a lab are there. */
export function expectNothingLeft({ state, name }: LabPlace): void {
  expect(existsSync(state)).toBe(false);
  expect(readdirSync("/run/netns").filter((namespace) => namespace.includes(name))).toEqual([]);
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(state);
  const commands = readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && pid !== String(process.pid))
    .map(commandLine);
  expect(commands.filter((command) => command.includes(state))).toEqual([]);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(join("/proc", pid, "cmdline"), "utf8");
  } catch {
    return "";
  }
}
