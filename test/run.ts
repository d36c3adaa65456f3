/**
 * Runs tiers of tests in the order given and prints their times; the first that fails ends the run,
 * its failing tests and their reasons printed last. Each tier installs only the packages it needs.
 * usage: npm test, npm run test:fast, test:integration, test:e2e, test:full
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { text } from "node:stream/consumers";
import pLimit from "p-limit";
import { LAB_CACHE } from "./lab/image/image-cache.ts";
import { fetchKernel } from "./lab/image/kernel.ts";
import { claim, destroyAbandoned } from "./lab/lab-state.ts";
import { installPackages } from "./lab/packages.ts";
import { startInRoom, whyNoRooms } from "./room.ts";

const root = resolve(import.meta.dirname, "..");
const E2E = [
  "lab",
  "ceph",
  "switch",
  "curl",
  "dnsmasq-base",
  "kea-dhcp4-server",
  "libiscsi-bin",
  "tcpdump",
  "udhcpc",
  "fio",
];
const FULL = [...E2E, "debootstrap", "nbdkit", "libnbd-bin", "qemu-block-extra"];
const PACKAGES: Record<string, string[]> = {
  fast: ["bubblewrap", "qemu-utils", "zstd"],
  integration: [
    "ceph",
    "tgt",
    "ipmitool",
    "openipmi",
    "qemu-block-extra",
    "bubblewrap",
    "qemu-utils",
    "xfsprogs",
    "xz-utils",
    "zstd",
    "btrfs-progs",
    "libiscsi-bin",
    "iproute2",
    "udhcpc",
    "isc-dhcp-client",
    "atftp",
    "tftp-hpa",
    "curl",
    "busybox-static",
    "dnsmasq-base",
    "ipxe",
    "radvd",
    "systemd",
    "tcpdump",
    "socat",
    "strace",
    "ethtool",
    "qemu-system-x86",
    "ovmf",
    "ipxe-qemu",
    "nbdkit",
    "libnbd-bin",
    "kea-admin",
    "kea-dhcp4-server",
    "tshark",
    "nftables",
    "openvswitch-switch",
  ],
  e2e: E2E,
  "e2e-rbd": E2E,
  full: FULL,
  "full-rbd": FULL,
};

/**
 * Much of their time these wait, for deadlines and for firmware: so many of their files run side by side, each in a room of its own.
 * QEMU takes a processor to itself.
 */
const ROOMS: Record<string, number> = { integration: 3, e2e: 2, "e2e-rbd": 2 };
/** Their labs boot it, and rooms have no way to Debian. */
const NEED_KERNEL = ["e2e", "e2e-rbd"];

type Report = {
  testResults: {
    name: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
};

const totals = { passed: 0, failed: 0, skipped: 0 };
let failures: string[] = [];
const reportDirectory = mkdtempSync(join(tmpdir(), "ingot-test-"));
try {
  // so that it goes at the next run where this one is killed
  await claim(reportDirectory);
  for (const directory of await destroyAbandoned()) console.log(`cleaned up what was left in ${directory}`);
  for (const tier of process.argv.slice(2)) {
    const packages = PACKAGES[tier];
    if (!packages) throw new Error(`no tier "${tier}"; there are ${Object.keys(PACKAGES).join(", ")}`);
    const started = Date.now();
    console.log(`\n== ${tier}`);
    if (tier === "fast") execFileSync("sh", [join(root, ".config/lint")], { stdio: "inherit" });
    installPackages(packages);
    if (NEED_KERNEL.includes(tier)) await fetchKernel("cloud", LAB_CACHE);
    failures = ROOMS[tier] === undefined ? await runTier(tier) : await runInRooms(tier, ROOMS[tier]);
    console.log(`== ${tier}: ${secondsSince(started)} s`);
    if (failures.length > 0) break;
  }
} finally {
  rmSync(reportDirectory, { recursive: true, force: true });
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
for (const failure of failures) console.log(`\nFAILED ${failure}`);
process.exitCode = failures.length > 0 ? 1 : 0;

function runTier(tier: string): Promise<string[]> {
  return run(tier, [], async (argv) => spawn(argv[0]!, argv.slice(1), { cwd: root, stdio: "inherit" }));
}

async function runInRooms(tier: string, rooms: number): Promise<string[]> {
  const why = whyNoRooms();
  if (why) {
    console.log(`one file at a time, for this machine lets us make no namespaces of processes: ${why}`);
    return await runTier(tier);
  }
  const files = filesOf(tier);
  const inTurn = pLimit(rooms);
  let ended = 0;
  const found = await inTurn.map(files, async (file) => {
    const started = Date.now();
    let output: Promise<string> | undefined;
    const failed = await run(tier, [file], async (argv) => {
      const child = await startInRoom(argv, { cwd: root, env: process.env });
      output = Promise.all([text(child.stdout!), text(child.stderr!)]).then((said) => said.join(""));
      return child;
    });
    if (failed.length > 0) console.log(await output);
    console.log(
      `${++ended}/${files.length} ${failed.length > 0 ? "FAILED" : "passed"} ${file} ${secondsSince(started)} s`,
    );
    return failed;
  });
  return found.flat();
}

/** The largest first: those that begin last shall not be those that take longest. */
function filesOf(tier: string): string[] {
  const listed = execFileSync(process.execPath, vitest("list", tier, "--filesOnly", "--json"), { cwd: root });
  const files = (JSON.parse(listed.toString()) as { file: string }[]).map(({ file }) => file);
  return files.sort((a, b) => statSync(b).size - statSync(a).size).map((file) => relative(root, file));
}

function vitest(verb: "run" | "list", tier: string, ...more: string[]): string[] {
  const program = join(root, "node_modules/vitest/vitest.mjs");
  return [program, verb, "--config", ".config/vitest.config.ts", "--project", tier, ...more];
}

/** Runs a tier, or these files of it, as `start` starts it; answers what failed. */
async function run(tier: string, files: string[], start: (argv: string[]) => Promise<ChildProcess>): Promise<string[]> {
  const what = [tier, ...files].join(" ");
  const file = join(reportDirectory, `${what.replaceAll(/[^\w-]/g, "-")}.json`);
  const reports = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const child = await start([
    process.execPath,
    ...vitest("run", tier, "--passWithNoTests=false", ...reports, ...files),
  ]);
  const status = await new Promise<number | string | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, killedBy) => resolve(code ?? killedBy));
  });
  let report: Report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return [`${what}: the test runner ended with ${status} and left no report`];
  }
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests;
  totals.skipped += report.numPendingTests;
  const failed = report.testResults.flatMap((suite) => [
    ...(suite.message ? [`${suite.name}\n${suite.message}`] : []),
    ...suite.assertionResults
      .filter((one) => one.status === "failed")
      .map((one) => `${suite.name}: ${one.fullName}\n${one.failureMessages.join("\n")}`),
  ]);
  return status !== 0 && failed.length === 0 ? [`${what}: the test runner ended with ${status}`] : failed;
}

function secondsSince(started: number): number {
  return Math.round((Date.now() - started) / 1000);
}
