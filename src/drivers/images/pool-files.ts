import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, link, mkdir, readdir, rename, rm, stat, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ApplianceError } from "../../errors.ts";
import { isNoRoom } from "../../net/preallocate.ts";
import { syncPath } from "../../net/sync-path.ts";
import type { StoredKind } from "./image-store.ts";
import { mountAbove } from "./mounts.ts";

/** Images are immutable, for root too as far as a mode can say it; disks are for tgtd and storaged alone. */
const MODES: Record<StoredKind, number> = { image: 0o444, disk: 0o600 };

/** Ids are file names here. */
const ID_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const TEMPORARY_PATTERN = /^unfinished-[0-9a-f]{16}/;

/** The files of a pool directory: `images/<id>.raw`, `disks/<id>.raw`, `records/<id>.json`, and unfinished ones in `tmp/`. */
export class PoolFiles {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Makes the folders, removes what an earlier process left unfinished, and makes durable what it had named. */
  async prepare(): Promise<void> {
    for (const folder of ["images", "disks", "records", "tmp"]) {
      await mkdir(join(this.directory, folder), { recursive: true, mode: 0o700 });
      await syncPath(join(this.directory, folder));
    }
    await syncPath(this.directory);
    const folder = join(this.directory, "tmp");
    for (const name of await readdir(folder)) {
      // By name: a directory given by mistake may have a tmp of its own.
      if (TEMPORARY_PATTERN.test(name)) await rm(join(folder, name), { force: true });
    }
  }

  /** INVALID when the id is no id: it must not lead anywhere else. */
  path(kind: StoredKind, id: string): string {
    if (!ID_PATTERN.test(id)) {
      throw new ApplianceError("INVALID", `${kind}: this can't be an id`, {
        details: { field: kind, value: id.slice(0, 80), remedy: "use lower-case letters, digits and dashes" },
      });
    }
    return join(this.#folder(kind), `${id}.raw`);
  }

  temporary(): string {
    return join(this.directory, "tmp", temporaryName());
  }

  /**
   * A reflink of `source` under a temporary name, with zeros at its end up to `sizeBytes`; on disk when this resolves.
   * Later writes to either are its own.
   */
  reflink(source: string, sizeBytes = 0): Promise<string> {
    return this.#make(async (path) => {
      await share(source, path);
      if (sizeBytes > (await stat(path)).size) await truncate(path, sizeBytes);
    });
  }

  /** A file of zeros under a temporary name, without blocks. */
  blank(sizeBytes: number): Promise<string> {
    return this.#make(async (path) => {
      await writeFile(path, "", { flag: "wx", mode: 0o600 });
      await truncate(path, sizeBytes);
    });
  }

  async #make(fill: (path: string) => Promise<void>): Promise<string> {
    const path = this.temporary();
    try {
      await fill(path);
      await syncPath(path);
      return path;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** Gives a finished temporary file its name, durably. False when the name is taken: what is there stays. */
  async publish(temporary: string, kind: StoredKind, id: string): Promise<boolean> {
    await chmod(temporary, MODES[kind]);
    try {
      // Unlike a rename, a link can't take the place of a disk that a node runs on.
      await link(temporary, this.path(kind, id));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      return false;
    } finally {
      await unlink(temporary);
    }
    await syncPath(this.#folder(kind));
    return true;
  }

  /** Gives a disk's file a second name, that of an image, durably. */
  async setAside(disk: string, image: string): Promise<void> {
    await link(this.path("disk", disk), this.path("image", image));
    await syncPath(this.#folder("image"));
  }

  /** Puts a finished temporary file in the place of another. Whoever has the old one open keeps the old one. */
  async replace(temporary: string, kind: StoredKind, id: string): Promise<void> {
    await chmod(temporary, MODES[kind]);
    await rename(temporary, this.path(kind, id));
    await syncPath(this.#folder(kind));
  }

  /** Where an image or disk is described. Ids tell the kind; one that is none was refused by `path`. */
  description(id: string): string {
    return join(this.directory, "records", `${id}.json`);
  }

  /** The description goes first: one without its content would stay for ever. */
  async remove(kind: StoredKind, id: string): Promise<void> {
    const path = this.path(kind, id);
    await rm(this.description(id), { force: true });
    await rm(path, { force: true });
    await syncPath(this.#folder(kind));
  }

  async list(kind: StoredKind): Promise<{ kind: StoredKind; id: string }[]> {
    const names = await readdir(this.#folder(kind));
    return names.filter((name) => name.endsWith(".raw")).map((name) => ({ kind, id: name.slice(0, -".raw".length) }));
  }

  #folder(kind: StoredKind): string {
    return join(this.directory, `${kind}s`);
  }
}

/** UNSUPPORTED, with the remedy, when files in this directory can't share extents. A full pool is taken at its word. */
export async function checkReflinks(directory: string): Promise<void> {
  const [source, clone] = [join(directory, temporaryName()), join(directory, temporaryName())];
  try {
    await writeFile(source, Buffer.alloc(4096), { flag: "wx", mode: 0o600 });
    await share(source, clone);
  } catch (cause) {
    if (isNoRoom(cause)) return;
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    if (!["ENOTSUP", "EOPNOTSUPP", "EXDEV", "EINVAL", "ENOSYS", "ENOTTY"].includes(code)) throw cause;
    throw new ApplianceError("UNSUPPORTED", `pool: ${directory} can't share extents between files (reflinks)`, {
      details: {
        field: "pool.directory",
        value: directory,
        filesystem: (await mountAbove(directory))?.filesystem,
        remedy: "put the pool on XFS (mkfs.xfs -m reflink=1) or btrfs; make-pool.ts makes one in a file",
      },
      cause,
    });
  } finally {
    await Promise.all([rm(source, { force: true }), rm(clone, { force: true })]);
  }
}

function share(source: string, path: string): Promise<void> {
  return copyFile(source, path, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
}

function temporaryName(): string {
  return `unfinished-${randomBytes(8).toString("hex")}`;
}
