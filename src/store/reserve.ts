import { open, rm, stat, statfs, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { isNoRoom, preallocate } from "../net/preallocate.ts";

const MIB = 1024 ** 2;

/** Some 50,000 journal lines: leases, releases and deletions go on for hours after the disk filled up. */
const RESERVE_BYTES = 16 * MIB;
/** Made anew only where it leaves room beside it, so that it does not fill the disk itself. */
const ROOM_FACTOR = 4;
const RETRY_MS = 10_000;

/** A preallocated file that is given up when its disk is full, so that the journal can go on. */
export class Reserve {
  readonly #file: string;
  readonly #bytes: number;
  readonly #retryMs: number;
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(file: string, { bytes, retryMs } = { bytes: RESERVE_BYTES, retryMs: RETRY_MS }) {
    this.#file = file;
    this.#bytes = bytes;
    this.#retryMs = retryMs;
  }

  /** Whether it is there in full. */
  async isThere(): Promise<boolean> {
    const { blocks } = await stat(this.#file).catch(() => ({ blocks: 0 }));
    return blocks * 512 >= this.#bytes;
  }

  /** Whether `keep` may find something new: it is asked often. */
  isDue(): boolean {
    return performance.now() - this.#triedAt >= this.#retryMs;
  }

  /** Makes it where it is missing and the disk has room. Never fails: a later call may succeed. */
  async keep(): Promise<void> {
    this.#triedAt = performance.now();
    try {
      if (await this.isThere()) return;
      const { bavail, bsize } = await statfs(dirname(this.#file));
      if (bavail * bsize < this.#bytes * ROOM_FACTOR) return;
      const file = await open(this.#file, "w", 0o600);
      try {
        await preallocate(file, 0, this.#bytes);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isNoRoom(error)) await rm(this.#file, { force: true }).catch(() => {});
    }
  }

  /** Gives its room to others; false when there was nothing to give. */
  async release(): Promise<boolean> {
    try {
      const { blocks } = await stat(this.#file);
      // unlike an unlink, whose blocks XFS frees later, a truncation gives the room at once
      await truncate(this.#file, 0);
      await rm(this.#file, { force: true });
      return blocks > 0;
    } catch {
      return false;
    }
  }
}
