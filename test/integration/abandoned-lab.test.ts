/** A lab that was killed while its pool's disk was without power: what it leaves mounted disturbs the whole machine. And rooms, which it does not disturb. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync } from "node:fs";
import { mkdir, readlink, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { claim, destroyAbandoned, destroyEverything, killProcess } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";
import { startInRoom } from "../room.ts";

const ABANDONED = "/var/tmp/ingot-abandoned";
const LIVING = "/var/tmp/ingot-living";
const FILE = join(tmpdir(), "ingot-abandoned.btrfs");

const LAB = `
  const { createDroppingDisk } = await import("${import.meta.dirname}/../lab/dropping-disk.ts");
  const { runProgram } = await import("${import.meta.dirname}/../lab/program.ts");
  const { path } = await createDroppingDisk("${ABANDONED}", "disk", 320 * 1024 ** 2);
  await runProgram("mkfs.xfs", ["-q", path]);
  await runProgram("mkdir", ["${ABANDONED}/pool"]);
  await runProgram("mount", ["-o", "loop,nouuid", path, "${ABANDONED}/pool"]);
  console.log("mounted");
  setInterval(() => {}, 1000);`;

/** One with a program that nobody wrote down, in no namespace of the lab, that has a file open and does not end when it is asked. */
const busyLab = (file: string) => `
  const { claim } = await import("${import.meta.dirname}/../lab/lab-state.ts");
  const { runProgram } = await import("${import.meta.dirname}/../lab/program.ts");
  const { spawn } = await import("node:child_process");
  await claim("${ABANDONED}");
  await runProgram("mkdir", ["${ABANDONED}/pool"]);
  await runProgram("mount", ["-t", "tmpfs", "tmpfs", "${ABANDONED}/pool"]);
  const line = 'trap "" TERM; exec 9>${ABANDONED}/${file}; echo $$; while sleep 1; do :; done';
  spawn("sh", ["-c", line], { stdio: ["ignore", "inherit", "ignore"] });
  setInterval(() => {}, 1000);`;

beforeAll(async () => {
  for (const directory of [ABANDONED, LIVING]) await destroyEverything(directory);
  await writeFile(FILE, "");
  await truncate(FILE, 320 * 1024 ** 2);
});
afterAll(async () => {
  for (const directory of [ABANDONED, LIVING]) await destroyEverything(directory);
  await rm(FILE, { force: true });
});

it("is cleaned up by whoever comes next, and labs whose owners live are left alone", async () => {
  const lab = spawn(process.execPath, ["--input-type=module", "-e", LAB], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    await once(lab.stdout, "data");
    await claim(LIVING);
    expect(await destroyAbandoned()).not.toContain(ABANDONED);
  } finally {
    lab.kill("SIGKILL");
    await once(lab, "close");
  }
  for (const part of ["cache", "plug"]) await killProcess(ABANDONED, `disk.${part}`);
  await expect.poll(() => existsSync(join(ABANDONED, "disk/disk"))).toBe(false);
  await expect(runProgram("mkfs.btrfs", ["-q", FILE])).rejects.toThrow("not connected");

  expect(await destroyAbandoned()).toContain(ABANDONED);
  expect([existsSync(ABANDONED), existsSync(LIVING)]).toEqual([false, true]);
  await runProgram("mkfs.btrfs", ["-q", FILE]);
});

it.each(["pool/file", "log"])(
  "is cleaned up although a program that nobody wrote down is at work in its %s",
  async (file) => {
    const lab = spawn(process.execPath, ["--input-type=module", "-e", busyLab(file)], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let pid: string;
    try {
      const [told] = (await once(lab.stdout, "data")) as [Buffer];
      pid = told.toString().trim();
    } finally {
      lab.kill("SIGKILL");
      await once(lab, "exit");
      lab.stdout.destroy();
    }
    expect(existsSync(`/proc/${pid}/fd/9`)).toBe(true);
    expect(await destroyAbandoned()).toContain(ABANDONED);
    expect([existsSync(ABANDONED), existsSync(`/proc/${pid}/fd/9`)]).toEqual([false, false]);
  },
);

it("leaves alone what runs in a room, where the same path is another directory", async () => {
  const line = `mkdir ${ABANDONED}; exec 9>${ABANDONED}/log; readlink /proc/self/ns/pid; exec sleep 600`;
  const room = await startInRoom(["sh", "-c", line], { cwd: "/", env: process.env });
  const closed = once(room, "close");
  try {
    const [namespace] = (await once(room.stdout!, "data")) as [Buffer];
    expect(namespace.toString().trim()).not.toBe(await readlink("/proc/self/ns/pid"));
    await mkdir(ABANDONED);
    await destroyEverything(ABANDONED);
    expect([existsSync(ABANDONED), room.exitCode, room.signalCode]).toEqual([false, null, null]);
  } finally {
    room.kill("SIGKILL");
    await closed;
  }
});

it("starts nothing in a room that it could not furnish", async () => {
  const programs = mkdtempSync(join(tmpdir(), "ingot-programs-"));
  try {
    await writeFile(join(programs, "mount"), "#!/bin/sh\necho no mounts today >&2\nexit 32\n", { mode: 0o755 });
    const env = { ...process.env, PATH: `${programs}:${process.env.PATH}` };
    const room = await startInRoom(["echo", "started"], { cwd: "/", env });
    const said = Promise.all([text(room.stdout!), text(room.stderr!)]);
    const [status] = await once(room, "close");
    expect([status, ...(await said)]).toEqual([32, "", "no mounts today\n"]);
  } finally {
    await rm(programs, { recursive: true });
  }
});
