/**
 * Runs tiers of tests in the order given and prints their times; the first that fails ends the run,
 * its failing tests and their reasons printed last. Each tier installs only the packages it needs.
 * usage: npm test, npm run test:fast, test:integration, test:e2e, test:full
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { destroyAbandoned } from "./lab/lab-state.ts";
import { installPackages } from "./lab/packages.ts";

const root = resolve(import.meta.dirname, "..");
const E2E = [
  "lab",
  "ceph",
  "curl",
  "dnsmasq-base",
  "kea-dhcp4-server",
  "libiscsi-bin",
  "tcpdump",
  "udhcpc",
  "nftables",
  "fio",
];
const FULL = [...E2E, "debootstrap", "nbdkit", "libnbd-bin"];
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
  ],
  e2e: E2E,
  "e2e-rbd": E2E,
  full: FULL,
  "full-rbd": FULL,
};

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
  for (const directory of await destroyAbandoned()) console.log(`cleaned up what was left in ${directory}`);
  for (const tier of process.argv.slice(2)) {
    const packages = PACKAGES[tier];
    if (!packages) throw new Error(`no tier "${tier}"; there are ${Object.keys(PACKAGES).join(", ")}`);
    const started = Date.now();
    console.log(`\n== ${tier}`);
    if (tier === "fast") execFileSync("sh", [join(root, ".config/lint")], { stdio: "inherit" });
    installPackages(packages);
    failures = runTier(tier);
    console.log(`== ${tier}: ${Math.round((Date.now() - started) / 1000)} s`);
    if (failures.length > 0) break;
  }
} finally {
  rmSync(reportDirectory, { recursive: true, force: true });
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
for (const failure of failures) console.log(`\nFAILED ${failure}`);
process.exitCode = failures.length > 0 ? 1 : 0;

function runTier(tier: string): string[] {
  const file = join(reportDirectory, `${tier}.json`);
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const args = [
    "run",
    "--config",
    ".config/vitest.config.ts",
    "--project",
    tier,
    "--passWithNoTests=false",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${file}`,
  ];
  const { status } = spawnSync(process.execPath, [vitest, ...args], { cwd: root, stdio: "inherit" });
  let report: Report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return [`${tier}: the test runner ended with ${status} and left no report`];
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
  return status !== 0 && failed.length === 0 ? [`${tier}: the test runner ended with ${status}`] : failed;
}
