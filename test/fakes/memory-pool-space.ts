import type { PoolUsage } from "../../src/drivers/images/image-store.ts";
import type { PoolSpace, StoredThing } from "../../src/drivers/images/pool-space.ts";

/** A pool file that is a few numbers, with the order of its growth held to: a file system can't be larger than its file. */
export class MemoryPoolSpace implements PoolSpace {
  things: StoredThing[] = [];
  ballastBytes = 0;
  fileBytes = 1000;
  filesystemBytes = 1000;
  usedBytes = 500;

  /** As the image store tells it. */
  usage(): PoolUsage {
    const { filesystemBytes, fileBytes, usedBytes, ballastBytes } = this;
    const disk = { diskFreeBytes: 10_000, diskBytes: 20_000 };
    return {
      totalBytes: filesystemBytes,
      freeBytes: Math.max(0, filesystemBytes - usedBytes - ballastBytes),
      filesystem: "memory",
      ballast: { bytes: ballastBytes, isWhole: ballastBytes > 0 },
      file: { path: "/memory/pool", sizeBytes: fileBytes, allocatedBytes: fileBytes, ...disk },
    };
  }

  async largest(limit: number): Promise<StoredThing[]> {
    return this.things.slice(0, limit);
  }

  async keepBallast(): Promise<void> {
    if (this.usage().freeBytes >= 20) this.ballastBytes = 20;
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
