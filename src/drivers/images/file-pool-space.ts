import { open, stat, truncate } from "node:fs/promises";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { driverFailed, throwIfAborted } from "../failure.ts";
import { Ballast } from "./ballast.ts";
import { findLoopFile, type LoopFile, loopBytes, loopFileUsage } from "./loop-file.ts";
import { mountAbove } from "./mounts.ts";
import { PoolFiles } from "./pool-files.ts";
import type { PoolSpace, StoredThing } from "./pool-space.ts";
import { runTool } from "./run-tool.ts";

const MIB = 1024 ** 2;
/** Allocated at a time: progress is told, and an end heeded, in between. */
const CHUNK_BYTES = 256 * MIB;
/** What a pool file must leave of its disk: journals and logs may live there too. */
const SPARED_SHARE = 0.05;
const LEAST_SPARED = 128 * MIB;
const MOST_SPARED = 10 * 1024 * MIB;

/** How each file system takes the rest of its device while it is mounted. */
const GROW: Record<string, (directory: string) => [program: string, ...args: string[]]> = {
  xfs: (directory) => ["xfs_growfs", "-d", directory],
  btrfs: (directory) => ["btrfs", "filesystem", "resize", "max", directory],
};

/** The room of the pool in `directory`; it can grow where it is a loop mount of a file. */
export function createFilePoolSpace(directory: string): PoolSpace {
  const files = new PoolFiles(directory);
  const ballast = new Ballast(directory);

  return {
    async largest(limit) {
      const things: StoredThing[] = [];
      for (const kind of ["image", "disk"] as const) {
        for (const { id } of await files.list(kind)) {
          const found = await stat(files.path(kind, id)).catch(() => undefined);
          if (found) things.push({ kind, id, sizeBytes: found.size, usedBytes: found.blocks * 512 });
        }
      }
      return things.sort((a, b) => b.usedBytes - a.usedBytes).slice(0, limit);
    },
    keepBallast: () => ballast.keep(),
    releaseBallast: () => ballast.release(),
    async allocateFile(sizeBytes, progress, signal) {
      const { loop } = await loopOf(directory);
      const file = await loopFileUsage(loop);
      if (sizeBytes < file.sizeBytes) {
        throw new ApplianceError("INVALID", `size: the pool's file has ${file.sizeBytes} bytes already`, {
          details: { field: "size", value: sizeBytes, remedy: "pools grow and never shrink: name a larger size" },
        });
      }
      checkDisk(file, sizeBytes);
      await allocate(loop.path, sizeBytes, progress, signal);
    },
    async trimFile(sizeBytes) {
      const { loop } = await loopOf(directory);
      const { size } = await stat(loop.path);
      if (size > sizeBytes && (await loopBytes(loop)) <= sizeBytes) await truncate(loop.path, sizeBytes);
    },
    async growFilesystem(signal) {
      const { loop, filesystem } = await loopOf(directory);
      await runTool("grow pool", "losetup", ["--set-capacity", loop.device], signal);
      const [program, ...args] = GROW[filesystem]!(directory);
      await runTool("grow pool", program, args, signal);
    },
  };
}

/** UNSUPPORTED for a pool that is no loop mount of a file system that can grow. */
async function loopOf(directory: string): Promise<{ loop: LoopFile; filesystem: string }> {
  const mount = await mountAbove(directory);
  const loop = mount && (await findLoopFile(mount));
  if (loop && mount.filesystem in GROW) return { loop, filesystem: mount.filesystem };
  const grow = GROW[mount?.filesystem ?? ""]?.(mount!.point).join(" ") ?? "its file system";
  throw new ApplianceError("UNSUPPORTED", `pool: ${directory} is on ${mount?.device}, not in a file that can grow`, {
    details: {
      field: "pool.directory",
      value: directory,
      remedy: `enlarge ${mount?.device} (lvextend, or growpart for a partition), then run: ${grow}`,
    },
  });
}

/** POOL_FULL when the disk below would have too little left. */
function checkDisk(file: Awaited<ReturnType<typeof loopFileUsage>>, sizeBytes: number): void {
  const spared = Math.min(Math.max(file.diskBytes * SPARED_SHARE, LEAST_SPARED), MOST_SPARED);
  const wantedBytes = sizeBytes - file.allocatedBytes;
  if (wantedBytes <= 0 || file.diskFreeBytes - wantedBytes >= spared) return;
  const possible = Math.max(0, Math.floor((file.diskFreeBytes - spared + file.allocatedBytes) / MIB));
  throw noRoomBelow(file.path, {
    wantedBytes,
    diskFreeBytes: file.diskFreeBytes,
    remedy: `free space on the disk that holds ${file.path}${possible * MIB > file.sizeBytes ? `, or grow to ${possible}M at most` : ""}`,
  });
}

function noRoomBelow(path: string, details: Record<string, unknown>, cause?: unknown): ApplianceError {
  const remedy = `free space on the disk that holds ${path}`;
  return new ApplianceError("POOL_FULL", `pool: the disk that holds ${path} has no room for a larger one`, {
    details: { driver: "file", action: "grow pool", remedy, ...details },
    cause,
  });
}

/**
 * By the program, which asks the kernel and nobody else: where the disk below can't allocate ahead, the C library would
 * write the blocks itself, over what the pool writes to them meanwhile.
 */
async function allocate(
  path: string,
  sizeBytes: number,
  progress: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, "r+").catch((cause) => {
    const remedy = `let ingot-storaged write to it: ReadWritePaths=${path} in a drop-in (systemctl edit ingot-storaged)`;
    throw driverFailed("file", "grow pool", `can't write to ${path}`, { cause, details: { remedy } });
  });
  try {
    for (let done = 0; done < sizeBytes; done += CHUNK_BYTES) {
      throwIfAborted(signal, "file", "grow pool");
      const length = Math.min(CHUNK_BYTES, sizeBytes - done);
      await runTool("grow pool", "fallocate", ["-o", String(done), "-l", String(length), path], signal);
      progress(Math.min(done + CHUNK_BYTES, sizeBytes), sizeBytes);
    }
    await file.sync();
  } catch (error) {
    throwIfAborted(signal, "file", "grow pool");
    if (isApplianceError(error, "POOL_FULL")) throw noRoomBelow(path, {}, error);
    if (!/not supported/.test(String(error))) throw error;
    const remedy = `move ${path} to a disk with XFS, ext4 or btrfs, while the pool is not mounted`;
    throw driverFailed("file", "grow pool", "its disk can't allocate ahead", { cause: error, details: { remedy } });
  } finally {
    await file.close();
  }
}
