import { defineConfig } from "vitest/config";

const root = new URL("..", import.meta.url).pathname;

/** One project per tier; test/run.ts chooses. Tests that need real daemons run one file at a time. */
function tier(name: string, include: string[], serial: boolean) {
  return {
    root,
    test: {
      name,
      root,
      include,
      pool: "forks" as const,
      fileParallelism: !serial,
      maxConcurrency: 2,
      testTimeout: serial ? 120_000 : 20_000,
      hookTimeout: serial ? 180_000 : 20_000,
    },
  };
}

export default defineConfig({
  root,
  test: {
    maxWorkers: 2,
    projects: [
      tier("fast", ["test/*.test.ts", "test/unit/**/*.test.ts"], false),
      tier("integration", ["test/contract/**/*.test.ts", "test/integration/**/*.test.ts"], true),
      tier("e2e", ["test/e2e/*.test.ts"], true),
      tier("full", ["test/e2e/full/*.test.ts"], true),
    ],
  },
});
