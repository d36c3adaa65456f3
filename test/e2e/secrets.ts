import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Chap } from "../../src/boot/boot-entry.ts";
import { runProgram } from "../lab/program.ts";
import type { Rack } from "../lab/rack.ts";

/** Text files below a directory by path, those that vanish meanwhile left out. */
export async function readTexts(directory: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, "latin1").catch(() => undefined);
    if (text !== undefined) texts.set(path, text);
  }
  return texts;
}

/** The CHAP credentials of all attachments that the appliance's state holds, checkpoints and journal. */
export async function storedChaps({ stateDirectory }: Rack): Promise<Chap[]> {
  const state = [...(await readTexts(join(stateDirectory, "state"))).values()].join("\n");
  const found = [...state.matchAll(/"user":"(chap-[^"]+)","secret":"([^"]+)"/g)];
  return [...new Map(found.map(([, user, secret]) => [user, { user: user!, secret: secret! }])).values()];
}

/** The arguments of all programs that run now on this machine, each program's separated by spaces. */
export async function runningCommandLines(): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")));
  return lines.map((line) => line.replaceAll("\0", " "));
}

/**
 * From now on every start of `program` by this process and its children is written down, before the program can
 * overwrite its arguments. Answers the file, one start a line. `directory` must be where every user may look.
 */
export async function recordStarts(program: string, directory: string): Promise<string> {
  const starts = join(directory, `${program}.starts`);
  const real = (await runProgram("sh", ["-c", `command -v ${program}`])).trim();
  await mkdir(directory, { recursive: true });
  await writeFile(starts, "");
  await chmod(starts, 0o666);
  const script = `#!/bin/sh\nprintf '%s\\n' "$*" >>'${starts}'\nexec ${real} "$@"\n`;
  await writeFile(join(directory, program), script, { mode: 0o755 });
  process.env.PATH = `${directory}:${process.env.PATH}`;
  return starts;
}
