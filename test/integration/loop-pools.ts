import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makePool } from "../../src/storaged/make-pool.ts";

const PREFIX = "ingot-test-pools-";

/** File systems in sparse files, mounted for one test file; `remove` unmounts them. What a killed run left mounted goes first. */
export class LoopPools {
  readonly directory: string;

  constructor() {
    for (const name of readdirSync(tmpdir())) {
      const owner = /^ingot-test-pools-(\d+)$/.exec(name)?.[1];
      if (owner !== undefined && !existsSync(`/proc/${owner}`)) wipe(join(tmpdir(), name));
    }
    this.directory = join(tmpdir(), `${PREFIX}${process.pid}`);
    wipe(this.directory);
    mkdirSync(this.directory, { recursive: true });
  }

  /** A new empty pool; its mount point. */
  async make(name: string, filesystem: "xfs" | "btrfs", sizeBytes = 512 * 1024 ** 2): Promise<string> {
    const directory = join(this.directory, name);
    await makePool({ directory, file: `${directory}.pool`, sizeBytes, sparse: true, filesystem });
    return directory;
  }

  /** A directory beside the pools, for files to import. */
  plain(name: string): string {
    const directory = join(this.directory, name);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  remove(): void {
    wipe(this.directory);
  }
}

function wipe(directory: string): void {
  const mounted = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((point) => point.startsWith(`${directory}/`));
  // Lazily: network namespaces of other tests may hold copies of these mounts.
  for (const point of mounted.toReversed()) execFileSync("umount", ["--lazy", point]);
  rmSync(directory, { recursive: true, force: true });
}
