import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endProcess, findProcess, startProcess } from "../../lab/lab-state.ts";

const root = resolve(import.meta.dirname, "../../..");
let state: string;

beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), "ingot-lab-state-"));
});

afterAll(() => rm(state, { recursive: true, force: true }));

/** Ends the thread that a process began with (exit(2), 60 on x86_64, 93 on arm64); the others go on. */
const HALF_DEAD = `
  import koffi from "koffi";
  koffi.load("libc.so.6").func("long syscall(long number, long status)")(process.arch === "x64" ? 60 : 93, 0);
`;

it("takes a process for ended when the last of its threads is", async () => {
  const child = await startProcess(state, [process.execPath, "--input-type=module", "-e", HALF_DEAD], {
    ...{ name: "half-dead", cwd: root, stdio: ["ignore", "ignore", "ignore"] },
  });
  const status = () => readFile(`/proc/${child.pid}/status`, "utf8");
  await expect.poll(status, { timeout: 10_000 }).toMatch(/^State:\s+Z/m);

  expect(await findProcess(state, "half-dead")).toBe(child.pid);
  await endProcess(state, "half-dead");
  expect(await findProcess(state, "half-dead")).toBeUndefined();
});
