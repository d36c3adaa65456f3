/**
 * Makes the image pool where a machine has no XFS or btrfs to spare: a file with a file system in it, mounted by loop.
 * usage: make-pool.ts --directory DIR --file FILE --size BYTES[K|M|G|T] [--sparse] [--filesystem xfs|btrfs]
 *        make-pool.ts --directory DIR --unmount
 */
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { mountedAt } from "../drivers/images/mounts.ts";
import { runTool } from "../drivers/images/run-tool.ts";
import { ApplianceError, toApplianceError } from "../errors.ts";
import { parseBytes } from "../values/bytes.ts";

/** mkfs.xfs refuses less. */
const MIN_BYTES = 300 * 1024 * 1024;

const MAKE_FILESYSTEM = {
  xfs: ["mkfs.xfs", "-q", "-m", "reflink=1"],
  btrfs: ["mkfs.btrfs", "-q"],
} as const;

/** The pool to make, and where. */
export type NewPool = {
  /** Where it is mounted. */
  directory: string;
  /** The file that holds it. */
  file: string;
  sizeBytes: number;
  /** Allocate as it fills: for labs and tests. A disk below that runs full then loses what the pool has accepted. */
  sparse?: boolean;
  filesystem?: keyof typeof MAKE_FILESYSTEM;
};

/**
 * Makes what is missing of file, file system and mount, and answers what it did. A file that is there is
 * mounted as it is, whatever its size; a half-made one is never found under its name.
 * INVALID for a size too small, POOL_FULL when the disk below has no room, DRIVER_FAILED for the rest.
 */
export async function makePool(pool: NewPool): Promise<{ created: boolean; mounted: boolean }> {
  await mkdir(pool.directory, { recursive: true });
  if (await mountedAt(pool.directory)) return { created: false, mounted: false };
  const created = !(await exists(pool.file));
  if (created) await makeFile(pool);
  await command("mount", "-o", "loop,nodev,nosuid,noexec", pool.file, pool.directory);
  // Disks hold what nodes hold: for root's eyes only.
  await command("chmod", "0700", pool.directory);
  return { created, mounted: true };
}

/** Unmounts the pool; not mounted is success. Its file stays. DRIVER_FAILED while it is in use. */
export async function unmountPool(directory: string): Promise<void> {
  if (await mountedAt(directory)) await command("umount", directory);
}

async function makeFile({ file, sizeBytes, sparse = false, filesystem = "xfs" }: NewPool): Promise<void> {
  if (sizeBytes < MIN_BYTES) {
    throw new ApplianceError("INVALID", `size: a pool needs at least ${MIN_BYTES} bytes`, {
      details: {
        field: "size",
        value: sizeBytes,
        remedy: "give it tens of GiB: images and what nodes write live there",
      },
    });
  }
  await mkdir(dirname(file), { recursive: true });
  const unfinished = `${file}.unfinished`;
  try {
    await rm(unfinished, { force: true });
    if (sparse) await truncateNew(unfinished, sizeBytes);
    else await command("fallocate", "-l", String(sizeBytes), unfinished);
    const [program, ...args] = MAKE_FILESYSTEM[filesystem];
    await command(program, ...args, unfinished);
    await rename(unfinished, file);
  } finally {
    await rm(unfinished, { force: true });
  }
}

async function truncateNew(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, "wx", 0o600);
  await file.truncate(sizeBytes);
  await file.close();
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function command(program: string, ...args: string[]): Promise<void> {
  return runTool("make pool", program, args);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      directory: { type: "string" },
      file: { type: "string" },
      size: { type: "string" },
      sparse: { type: "boolean", default: false },
      filesystem: { type: "string", default: "xfs" },
      unmount: { type: "boolean", default: false },
    },
  });
  const { directory, file, size, sparse, filesystem, unmount } = values;
  if (directory !== undefined && unmount) return unmountPool(directory);
  if (directory === undefined || file === undefined || size === undefined || !(filesystem in MAKE_FILESYSTEM)) {
    throw new ApplianceError(
      "INVALID",
      (await readFile(import.meta.filename, "utf8"))
        .split("*/")[0]!
        .replace(/^\/?\s*\*+ ?/gm, "")
        .trim(),
    );
  }
  const pool = { directory, file, sizeBytes: parseBytes(size), sparse, filesystem: filesystem as "xfs" | "btrfs" };
  const { created, mounted } = await makePool(pool);
  console.log(`${directory}: ${created ? "made and mounted" : mounted ? "mounted" : "is mounted already"}`);
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    const { message, details } = toApplianceError(error);
    console.error(details.remedy ? `${message}; ${details.remedy}` : message);
    process.exitCode = 1;
  });
}
