import { defineConfig } from "vitest/config";

const root = new URL("..", import.meta.url).pathname;

/** One project per tier; test/run.ts chooses. Tests that need real daemons run one file at a time. */
function tier(name: string, include: string[], serial: boolean, env: Record<string, string> = {}) {
  return {
    root,
    test: {
      name,
      root,
      include,
      env,
      pool: "forks" as const,
      fileParallelism: !serial,
      maxConcurrency: 2,
      testTimeout: serial ? 120_000 : 60_000,
      hookTimeout: serial ? 300_000 : 20_000,
    },
  };
}

/**
 * What must go the same way wherever the disks live, for a second time on Ceph: chosen files in every run, the other boots
 * in the long one. Those that look at a pool's file, or make one, are not among them.
 */
const ON_CEPH = [
  "test/e2e/boot-paths.test.ts",
  "test/integration/disk-times.test.ts",
  "test/integration/incoming.test.ts",
];
const ON_CEPH_TOO = [
  "arming",
  "crash",
  "faults",
  "life",
  "loader-memory",
  "proxy",
  "stalls",
  "two-networks",
  "unknown-machines",
]
  .concat(
    ["data-disks", "debian", "dhcp-off", "grub-client", "loader-memory", "matrix", "power-return"].map(
      (name) => `full/${name}`,
    ),
  )
  .concat(["proxy-matrix", "snapshot-boots", "stalls"].map((name) => `full/${name}`))
  .map((name) => `test/e2e/${name}.test.ts`);
const CEPH = { INGOT_LAB_STORAGE: "rbd" };

export default defineConfig({
  root,
  test: {
    maxWorkers: 2,
    projects: [
      tier("fast", ["test/*.test.ts", "test/unit/**/*.test.ts"], false),
      tier("integration", ["test/contract/**/*.test.ts", "test/integration/**/*.test.ts"], true),
      tier("e2e", ["test/e2e/*.test.ts"], true),
      tier("full", ["test/e2e/full/*.test.ts"], true),
      tier("e2e-rbd", ON_CEPH, true, CEPH),
      tier("full-rbd", ON_CEPH_TOO, true, CEPH),
    ],
  },
});
