import { mkdir, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { ApplianceError } from "../errors.ts";

/** What must stay free on the disk below: journals and logs may live there too. */
const SPARED_SHARE = 0.05;

export type IncomingOptions = {
  directory: string;
  /** All files together may be so long. */
  maxBytes: number;
};

/**
 * The folder where images wait that come over the network, until they are whole and imported: a file each, named by the
 * image's id. Nobody but ingotd and ingot-storaged gets into it. What a file will be long is promised beforehand.
 */
export class Incoming {
  readonly #options: IncomingOptions;
  readonly #promised = new Map<string, number>();

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  get directory(): string {
    return this.#options.directory;
  }

  path(image: string): string {
    return join(this.#options.directory, image);
  }

  /** How much of an image has arrived; 0 where nothing has. */
  async receivedBytes(image: string): Promise<number> {
    return (await this.#look(image))?.size ?? 0;
  }

  /** When something of it arrived last, in milliseconds since the epoch; undefined where nothing has. */
  async lastArrival(image: string): Promise<number | undefined> {
    return (await this.#look(image))?.mtimeMs;
  }

  /** Holds room for an image of so many bytes, until it is removed. POOL_FULL where there is none: what was held stays. */
  async promise(image: string, bytes: number): Promise<void> {
    const others = [...this.#promised].filter(([id]) => id !== image);
    const before = this.#promised.get(image);
    // before anything is waited for: those who ask meanwhile count it
    this.#promised.set(image, bytes);
    try {
      await this.#checkRoom(image, bytes, others);
    } catch (error) {
      if (before === undefined) this.#promised.delete(image);
      else this.#promised.set(image, before);
      throw error;
    }
  }

  /** Takes away what has arrived of an image, and its promise. Gone already is success. */
  async remove(image: string): Promise<void> {
    for (const path of [this.path(image), originPath(this.path(image))]) await rm(path, { force: true });
    this.#promised.delete(image);
  }

  /** The images that something has arrived of. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#options.directory).catch((error) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    const images = names.flatMap((name) => /^(img-[a-z0-9-]+)(?:\.origin)?$/.exec(name)?.[1] ?? []);
    return [...new Set(images)];
  }

  async #checkRoom(image: string, bytes: number, others: [image: string, bytes: number][]): Promise<void> {
    const promised = others.reduce((sum, [, size]) => sum + size, 0);
    if (promised + bytes > this.#options.maxBytes) {
      throw this.#noRoom(bytes, this.#options.maxBytes - promised, "raise pool.incoming.maxBytes");
    }
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    let expected = bytes - (await this.receivedBytes(image));
    for (const [id, size] of others) expected += size - (await this.receivedBytes(id));
    const { bavail, blocks, bsize } = await statfs(this.#options.directory);
    const free = bavail * bsize - blocks * bsize * SPARED_SHARE;
    if (expected > free) throw this.#noRoom(bytes, free, `make room on the disk of ${this.#options.directory}`);
  }

  async #look(image: string) {
    return stat(this.path(image)).catch((error) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
  }

  #noRoom(wantedBytes: number, freeBytes: number, remedy: string): ApplianceError {
    return new ApplianceError("POOL_FULL", "incoming: no room for this image among those that are being brought in", {
      details: {
        field: "pool.incoming",
        wantedBytes,
        freeBytes: Math.max(0, Math.floor(freeBytes)),
        remedy: `wait for other imports (ingot image uploads), or ${remedy}`,
      },
    });
  }
}

/** Beside a file that is being fetched: which version of it that is. */
export function originPath(path: string): string {
  return `${path}.origin`;
}
