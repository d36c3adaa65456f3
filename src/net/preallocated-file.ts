import { open, rm, stat, truncate } from "node:fs/promises";
import { isNoRoom, preallocate } from "./preallocate.ts";

/** A file that only takes up room, to be given up when the room is needed. */
export class PreallocatedFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** What it takes up now; 0 when it is not there. */
  async bytes(): Promise<number> {
    const { blocks } = await stat(this.#path).catch(() => ({ blocks: 0 }));
    return blocks * 512;
  }

  /** Makes it take up so much; a smaller one grows. False, and nothing is left of it, when there is no room. */
  async make(bytes: number): Promise<boolean> {
    try {
      const file = await open(this.#path, "a", 0o600);
      try {
        await preallocate(file, 0, bytes);
      } finally {
        await file.close();
      }
      return true;
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      await this.drop();
      return false;
    }
  }

  /** Gives its room back at once; answers how much that was. */
  async drop(): Promise<number> {
    const bytes = await this.bytes();
    // the blocks of an unlinked file come back later (XFS), those of a truncated one now
    if (bytes > 0) await truncate(this.#path, 0);
    await rm(this.#path, { force: true });
    return bytes;
  }
}
