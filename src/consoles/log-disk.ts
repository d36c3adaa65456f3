import { statfs } from "node:fs/promises";
import pLimit from "p-limit";

/** The rest of the disk is the journal's: without that, nothing boots. */
const KEPT_FREE_BYTES = 64 * 1024 ** 2;
const LOOK_MS = 5_000;

/**
 * The disk as all logs share it: one of them at a time, so that many nodes that talk at once take no more than one of the
 * threads that the journal needs too.
 */
export class LogDisk {
  readonly #directory: string;
  readonly #inTurn = pLimit(1);
  #lookedAt = Number.NEGATIVE_INFINITY;
  #hasRoom = true;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Runs an action in its turn; they come in the order in which they were asked for. */
  inTurn<T>(action: () => Promise<T>): Promise<T> {
    return this.#inTurn(action);
  }

  /** Whether logs may grow. */
  async hasRoom(): Promise<boolean> {
    if (performance.now() - this.#lookedAt < LOOK_MS) return this.#hasRoom;
    this.#lookedAt = performance.now();
    const { bavail, bsize } = await statfs(this.#directory);
    this.#hasRoom = bavail * bsize > KEPT_FREE_BYTES;
    return this.#hasRoom;
  }
}
