import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockDirectory } from "../../../src/store/lock.ts";

const lockModule = join(import.meta.dirname, "../../../src/store/lock.ts");

describe("the lock of a state directory", () => {
  let directory: string;
  const children: ChildProcess[] = [];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "ingot-lock-"));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) await kill(child);
    rmSync(directory, { recursive: true });
  });

  /** Another process that holds the lock until it is killed. */
  async function holder(): Promise<ChildProcess> {
    const program = `import { lockDirectory } from ${JSON.stringify(lockModule)};
      await lockDirectory(${JSON.stringify(directory)});
      globalThis.gc?.(); process.stdout.write("held"); setInterval(() => {}, 1e6);`;
    const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    await once(child.stdout!, "data");
    return child;
  }

  async function kill(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  it("lets one process in and names it to the next", async () => {
    const child = await holder();
    await expect(lockDirectory(directory)).rejects.toMatchObject({
      code: "LOCKED",
      message: `state directory ${directory}: process ${child.pid} works on it already`,
      details: { field: "stateDirectory", pid: child.pid },
    });
    expect(readFileSync(join(directory, "lock"), "utf8")).toBe(`${child.pid}\n`);
  });

  it("falls with a process that is killed, whatever the file says", async () => {
    const child = await holder();
    await kill(child);
    const release = await lockDirectory(directory);
    expect(readFileSync(join(directory, "lock"), "utf8")).toBe(`${process.pid}\n`);
    await release();
    writeFileSync(join(directory, "lock"), "1\n");
    await (await lockDirectory(directory))();
  });

  it("is released once, and not for the one who holds it next", async () => {
    const release = await lockDirectory(directory);
    await expect(lockDirectory(directory)).rejects.toMatchObject({ code: "LOCKED" });
    await release();
    const next = await lockDirectory(directory);
    await release();
    await expect(lockDirectory(directory)).rejects.toMatchObject({ code: "LOCKED" });
    await next();
  });

  it("is not held on by a child process", async () => {
    const release = await lockDirectory(directory);
    const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
    children.push(child);
    await once(child, "spawn");
    await release();
    await (await lockDirectory(directory))();
  });

  it("asks for a directory that is there", async () => {
    await expect(lockDirectory(join(directory, "none"))).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("ENOENT"),
    });
  });
});
