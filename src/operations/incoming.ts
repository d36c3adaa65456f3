import { type FileHandle, mkdir, open, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { ApplianceError } from "../errors.ts";
import { describeIncomingFailure } from "../net/incoming-failure.ts";
import { appendSparsely } from "../values/append-sparsely.ts";

/** What must stay free on the disk below: journals and logs may live there too. */
const SPARED_SHARE = 0.05;
/** What grows is promised so much ahead, so that the disk is looked at seldom. */
const STRIDE_BYTES = 16 * 1024 * 1024;
/** Not more than this waits in memory for a slow disk: its sender would wait for all of it at the end. */
const UNSYNCED_BYTES = 256 * 1024 * 1024;

export type IncomingOptions = {
  directory: string;
  /** All files together may be so long. */
  maxBytes: number;
};

/** What has arrived of an image, open to take more. Fails as Incoming. */
export type IncomingFile = {
  sizeBytes(): Promise<number>;
  /** Takes what follows the `endsAt` bytes that there are. */
  append(bytes: Uint8Array, endsAt: number): Promise<void>;
  /** All of it is on disk then. */
  close(): Promise<void>;
};

/**
 * The folder where images wait that come over the network, until they are whole and imported: a file each, named by the
 * image's id. Nobody but ingotd and ingot-storaged gets into it. What a file will be long is promised beforehand.
 * Whatever fails there is POOL_FULL for want of room, else DRIVER_FAILED, and names the folder.
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

  /** Holds room for an image whose length nobody knows, as it comes. Fails as `promise`, at the byte that has no room. */
  async grow(image: string, bytes: number): Promise<void> {
    if (bytes <= (this.#promised.get(image) ?? 0)) return;
    await this.promise(image, bytes + STRIDE_BYTES).catch(() => this.promise(image, bytes));
  }

  /** Opens what has arrived of an image to write more (`r+`; undefined where nothing has), or all of it anew (`w`). */
  async open(image: string, flags: "w" | "r+"): Promise<IncomingFile | undefined> {
    const file = await open(this.path(image), flags, 0o600).catch((error) => {
      if (error.code === "ENOENT" && flags === "r+") return undefined;
      throw this.#failed(error);
    });
    if (!file) return undefined;
    const described = <T>(work: Promise<T>) =>
      work.catch((error) => {
        throw this.#failed(error);
      });
    // qemu-img reads it as nobody; the folder keeps others out
    await described(closingOnFailure(file, file.chmod(0o644)));
    let unsyncedBytes = 0;
    return {
      sizeBytes: async () => (await described(file.stat())).size,
      append: async (bytes, endsAt) => {
        unsyncedBytes += await described(appendSparsely(file, bytes, endsAt));
        if (unsyncedBytes < UNSYNCED_BYTES) return;
        await described(file.datasync());
        unsyncedBytes = 0;
      },
      close: () => described(file.datasync().finally(() => file.close())),
    };
  }

  /** Takes away what has arrived of an image, and its promise. Gone already is success. */
  async remove(image: string): Promise<void> {
    for (const path of [this.path(image), originPath(this.path(image))]) {
      await rm(path, { force: true }).catch((error) => {
        throw this.#failed(error);
      });
    }
    this.#promised.delete(image);
  }

  /** The images that something has arrived of. */
  async list(): Promise<string[]> {
    return [...new Set((await this.#names()).flatMap((name) => imageOf(name) ?? []))];
  }

  /** All that lies there; `image` is undefined of what is nobody's. `at`: when it was last written, in ms since the epoch. */
  async files(): Promise<{ name: string; image?: string; sizeBytes: number; at: number }[]> {
    const files = (await this.#names()).map(async (name) => {
      const found = await this.#look(name);
      const image = imageOf(name);
      return found ? [{ name, ...(image ? { image } : {}), sizeBytes: found.size, at: found.mtimeMs }] : [];
    });
    return (await Promise.all(files)).flat();
  }

  /** How many bytes more may be promised: those that the disk below has free, and those that are allowed. */
  async room(): Promise<{ freeBytes: number; allowedBytes: number }> {
    const promises = [...this.#promised];
    const allowedBytes = this.#options.maxBytes - promises.reduce((sum, [, size]) => sum + size, 0);
    return { freeBytes: await this.#freeBytes(promises), allowedBytes };
  }

  async #names(): Promise<string[]> {
    return readdir(this.#options.directory).catch((error) => {
      if (error.code === "ENOENT") return [];
      throw this.#failed(error);
    });
  }

  async #checkRoom(image: string, bytes: number, others: [image: string, bytes: number][]): Promise<void> {
    const promised = others.reduce((sum, [, size]) => sum + size, 0);
    if (promised + bytes > this.#options.maxBytes) {
      throw this.#noRoom(bytes, this.#options.maxBytes - promised, "raise pool.incoming.maxBytes");
    }
    const free = await this.#freeBytes(others);
    if (bytes - (await this.receivedBytes(image)) > free)
      throw this.#noRoom(bytes, free, `make room on the disk of ${this.#options.directory}`);
  }

  /** What the disk below has left once all of these have arrived. */
  async #freeBytes(promises: [image: string, bytes: number][]): Promise<number> {
    const { bavail, blocks, bsize } = await this.#disk();
    let free = bavail * bsize - blocks * bsize * SPARED_SHARE;
    for (const [id, size] of promises) free -= size - (await this.receivedBytes(id));
    return free;
  }

  /** The disk below; the folder is made where there is none. */
  async #disk() {
    try {
      await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
      return await statfs(this.#options.directory);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async #look(name: string) {
    return stat(this.path(name)).catch((error) => {
      if (error.code === "ENOENT") return undefined;
      throw this.#failed(error);
    });
  }

  #failed(error: unknown): unknown {
    return describeIncomingFailure(this.#options.directory, error);
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

/** The image that a file is of, or says the version of. */
function imageOf(name: string): string | undefined {
  return /^(img-[a-z0-9-]+)(?:\.origin)?$/.exec(name)?.[1];
}

async function closingOnFailure(file: FileHandle, work: Promise<unknown>): Promise<void> {
  await work.catch(async (error) => {
    await file.close();
    throw error;
  });
}

/** Beside a file that is being fetched: which version of it that is. */
export function originPath(path: string): string {
  return `${path}.origin`;
}
