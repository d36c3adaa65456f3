import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { isNoRoom } from "../../net/preallocate.ts";
import { PreallocatedFile } from "../../net/preallocated-file.ts";
import { Turns } from "../turns.ts";

const MIB = 1024 ** 2;
/** Of the pool: well within what lies behind the mark at which it is released. */
const BALLAST_SHARE = 0.02;
const MOST_BALLAST = 4096 * MIB;
/** Metadata of a reverted disk with some 100,000 extents. */
const RESERVE_SHARE = 0.01;
const MOST_RESERVE = 64 * MIB;

/**
 * Two files that hold room back: the ballast is for the disks of running nodes when the pool is nearly full, the
 * reserve for what must work in a full one: deleting, and reverting.
 */
export class Ballast {
  readonly #directory: string;
  readonly #ballast: PreallocatedFile;
  readonly #reserve: PreallocatedFile;
  readonly #borrowers = new Turns();

  /** In the pool's directory. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#ballast = new PreallocatedFile(join(directory, "ballast"));
    this.#reserve = new PreallocatedFile(join(directory, "reserve"));
  }

  /** How much both hold back now, how much of it is the ballast's, and whether that is all that they should. */
  async state(totalBytes: number): Promise<{ bytes: number; releasableBytes: number; isWhole: boolean }> {
    const [ballast, reserve] = await Promise.all([this.#ballast.bytes(), this.#reserve.bytes()]);
    const wanted = wantedBytes(totalBytes);
    const isWhole = ballast >= wanted.ballast && reserve >= wanted.reserve;
    return { bytes: ballast + reserve, releasableBytes: ballast, isWhole };
  }

  /** Makes what is missing of both, as far as there is room. */
  async keep(): Promise<void> {
    const wanted = await this.#wanted();
    await this.#reserve.make(wanted.reserve);
    await this.#ballast.make(wanted.ballast);
  }

  /** Gives the ballast away; answers how many bytes that were. */
  release(): Promise<number> {
    return this.#ballast.drop();
  }

  /** Runs what must work in a full pool too: it has the reserve, all of it, for a second try. */
  async lend<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      return this.#borrowers.take("reserve", () => this.#runWithReserve(run, error));
    }
  }

  async #runWithReserve<T>(run: () => Promise<T>, refusal: unknown): Promise<T> {
    if ((await this.#reserve.drop()) === 0) throw refusal;
    try {
      return await run();
    } finally {
      await this.#reserve.make((await this.#wanted()).reserve).catch(() => {});
    }
  }

  async #wanted() {
    const { blocks, bsize } = await statfs(this.#directory);
    return wantedBytes(blocks * bsize);
  }
}

function wantedBytes(totalBytes: number): { ballast: number; reserve: number } {
  return {
    ballast: wholeMib(Math.min(totalBytes * BALLAST_SHARE, MOST_BALLAST)),
    reserve: wholeMib(Math.min(totalBytes * RESERVE_SHARE, MOST_RESERVE)),
  };
}

function wholeMib(bytes: number): number {
  return Math.floor(bytes / MIB) * MIB;
}
