import type { PoolUsage } from "../../src/drivers/images/image-store.ts";
import type { PoolSpace, StoredThing } from "../../src/drivers/images/pool-space.ts";

const MIB = 1024 ** 2;

/** A pool file that is a few numbers, with the order of its growth held to: a file system can't be larger than its file. */
export class MemoryPoolSpace implements PoolSpace {
  things: StoredThing[] = [];
  ballastBytes = 0;
  reserveBytes = 0;
  fileBytes = 100 * MIB;
  filesystemBytes = 100 * MIB;
  usedBytes = 50 * MIB;

  /** As the image store tells it. */
  usage(): PoolUsage {
    const { filesystemBytes, fileBytes, usedBytes, ballastBytes, reserveBytes } = this;
    const heldBack = ballastBytes + reserveBytes;
    const disk = { diskFreeBytes: 1000 * MIB, diskBytes: 2000 * MIB };
    return {
      totalBytes: filesystemBytes,
      freeBytes: Math.max(0, filesystemBytes - usedBytes - heldBack),
      filesystem: "memory",
      ballast: { bytes: heldBack, releasableBytes: ballastBytes, isWhole: ballastBytes > 0 },
      file: { path: "/memory/pool", sizeBytes: fileBytes, allocatedBytes: fileBytes, ...disk },
    };
  }

  async largest(limit: number): Promise<StoredThing[]> {
    return this.things.slice(0, limit);
  }

  async keepBallast(): Promise<void> {
    const wanted = Math.floor(this.filesystemBytes / 50);
    if (this.usage().freeBytes >= wanted) this.ballastBytes = wanted;
  }

  async releaseBallast(): Promise<number> {
    const bytes = this.ballastBytes;
    this.ballastBytes = 0;
    return bytes;
  }

  async allocateFile(sizeBytes: number, progress: (done: number, total: number) => void): Promise<void> {
    progress(sizeBytes, sizeBytes);
    this.fileBytes = Math.max(this.fileBytes, sizeBytes);
  }

  async trimFile(sizeBytes: number): Promise<void> {
    if (this.filesystemBytes <= sizeBytes) this.fileBytes = Math.min(this.fileBytes, sizeBytes);
  }

  async growFilesystem(): Promise<void> {
    this.filesystemBytes = this.fileBytes;
  }
}
