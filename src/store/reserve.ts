import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { PreallocatedFile } from "../net/preallocated-file.ts";

/** Some 50,000 journal lines: leases, releases and deletions go on for hours after the disk filled up. */
const RESERVE_BYTES = 16 * 1024 ** 2;
/** Made anew only where it leaves room beside it, so that it does not fill the disk itself. */
const ROOM_FACTOR = 4;
const RETRY_MS = 10_000;

/** Room on the disk of the state directory that is given up when that is full, so that the journal can go on. */
export class Reserve {
  readonly #path: string;
  readonly #file: PreallocatedFile;
  readonly #bytes: number;
  readonly #retryMs: number;
  #triedAt = Number.NEGATIVE_INFINITY;

  constructor(path: string, { bytes, retryMs } = { bytes: RESERVE_BYTES, retryMs: RETRY_MS }) {
    this.#path = path;
    this.#file = new PreallocatedFile(path);
    this.#bytes = bytes;
    this.#retryMs = retryMs;
  }

  /** Whether `keep` may find something new: it is asked often. */
  isDue(): boolean {
    return performance.now() - this.#triedAt >= this.#retryMs;
  }

  /** Makes it where it is missing and the disk has room. Never fails: a later call may succeed. */
  async keep(): Promise<void> {
    this.#triedAt = performance.now();
    try {
      if ((await this.#file.bytes()) >= this.#bytes) return;
      const { bavail, bsize } = await statfs(dirname(this.#path));
      if (bavail * bsize >= this.#bytes * ROOM_FACTOR) await this.#file.make(this.#bytes);
    } catch {
      // without it the journal is as safe as its disk has room
    }
  }

  /** Gives its room to others; false when there was nothing to give. */
  async release(): Promise<boolean> {
    return this.#file.drop().then(
      (bytes) => bytes > 0,
      () => false,
    );
  }
}
