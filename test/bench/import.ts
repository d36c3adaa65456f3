/**
 * What an import occupies: a sparse image of 20 GiB, raw, as qcow2, and packed, while ingotd, ingot-storaged and all of
 * their children are measured: what each has for itself, and once what they share. Then the same for an upload, and for
 * fetching it as raw and as qcow2. The bound is 200 MB.
 * usage: npm run bench -- import [--store rbd] [--json]
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findProcess } from "../lab/lab-state.ts";
import { installPackages } from "../lab/packages.ts";
import { createRack } from "../lab/rack.ts";

const BOUND_MB = 200;
const LOOK_MS = 100;
const isRbd = process.argv.includes("rbd");

installPackages(isRbd ? ["lab", "ceph"] : ["lab"]);
const stateDirectory = "/var/tmp/ingot-bench-import";
const rack = await createRack({
  ...{ name: "bimport", control: 730, stateDirectory, storage: isRbd ? ("rbd" as const) : ("file" as const) },
  config: { log: { level: "info" } },
});
const figures: Record<string, { peakMb: number; seconds: number }> = {};
try {
  const shell = (script: string) =>
    execFileSync("sh", ["-ec", script], { cwd: rack.importDirectory, stdio: "inherit" });
  // some content at the beginning, in the middle and at the end
  shell(
    "truncate -s 20G a.raw; for at in 0 10000 20000; do dd if=/dev/urandom of=a.raw bs=1M count=64 seek=$at conv=notrunc status=none; done",
  );
  shell("qemu-img convert -f raw -O qcow2 a.raw a.qcow2; zstd -q a.raw");
  // as after any start but the first: compiled code is kept
  for (const daemon of ["storaged", "ingotd"]) await rack.end(daemon);
  await rack.startStoraged();
  await rack.startIngotd();
  for (const [name, format, compression] of [
    ["a.raw", "raw", "none"],
    ["a.qcow2", "qcow2", "none"],
    ["a.raw.zst", "raw", "zst"],
  ] as const) {
    const packing = ["--format", format, "--compression", compression];
    const file = join(rack.importDirectory, name);
    await measure(name, "import", `image-${format}-${compression}`, "--file", file, ...packing);
  }
  await measure("upload of a.raw", "upload", "uploaded", join(rack.importDirectory, "a.raw"), "--format", "raw");
  for (const format of ["raw", "qcow2"]) {
    const fetched = join(stateDirectory, `fetched.${format}`);
    await measure(`download as ${format}`, "download", "uploaded", fetched, "--format", format);
  }
} finally {
  await rack.destroy();
}
if (process.argv.includes("--json"))
  console.log(JSON.stringify({ bench: "import", store: isRbd ? "rbd" : "file", boundMb: BOUND_MB, figures }));
if (Object.values(figures).some(({ peakMb }) => peakMb >= BOUND_MB)) process.exitCode = 1;

/** Runs `ingot image` with these arguments, and looks what is occupied meanwhile. */
async function measure(name: string, ...args: string[]): Promise<void> {
  const began = performance.now();
  let running = true;
  let peakMb = 0;
  const done = rack.ingot("image", ...args).finally(() => {
    running = false;
  });
  while (running) {
    peakMb = Math.max(peakMb, await occupiedMb());
    await sleep(LOOK_MS);
  }
  await done;
  figures[name] = { peakMb: Math.round(peakMb), seconds: Math.round((performance.now() - began) / 1000) };
  console.error(`${name}: at most ${figures[name].peakMb} MB, ${figures[name].seconds} s (bound: ${BOUND_MB} MB)`);
}

/** What both daemons and everything below them occupy now. */
async function occupiedMb(): Promise<number> {
  const pids = await Promise.all(["ingotd", "storaged"].map((daemon) => findProcess(stateDirectory, daemon)));
  const all = pids.flatMap((pid) => (pid === undefined ? [] : withDescendants(pid))).map(residentKb);
  const shared = Math.max(0, ...all.map((one) => one.shared));
  return all.reduce((sum, one) => sum + one.own, shared) / 1000;
}

function withDescendants(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  return [pid, ...children.flatMap(withDescendants)];
}

/** Of the shared pages nearly all are Node's program: the most that one process has of them stands for all. */
function residentKb(pid: number): { own: number; shared: number } {
  const smaps = read(`/proc/${pid}/smaps_rollup`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(smaps)?.[1] ?? 0);
  const own = field("Private_Clean") + field("Private_Dirty");
  return { own, shared: field("Rss") - own };
}

/** Empty for a process that has ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
