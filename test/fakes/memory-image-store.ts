import type {
  Backing,
  FlattenRequest,
  ImageStore,
  ImportRequest,
  ImportResult,
  PoolUsage,
  StoredKind,
  StoredSize,
} from "../../src/drivers/images/image-store.ts";
import type { Description } from "../../src/drivers/images/pool-catalogue.ts";
import { ApplianceError } from "../../src/errors.ts";
import { MemoryPoolSpace } from "./memory-pool-space.ts";

const SIZE = 1024 * 1024;

/** An image store that keeps its contents as strings in memory. Held to test/contract/image-store.test.ts like the real ones. */
export class MemoryImageStore implements ImageStore {
  readonly contents = new Map<string, string>();
  /** Of what is kept here, for a `MemoryPoolCatalogue`. */
  readonly descriptions = new Map<string, Description>();
  readonly flat = new Set<string>();
  readonly #space: MemoryPoolSpace;

  constructor(space = new MemoryPoolSpace()) {
    this.#space = space;
  }

  async import(request: ImportRequest, progress: (done: number, total: number) => void): Promise<ImportResult> {
    progress(SIZE, SIZE);
    this.contents.set(`image/${request.image}`, `content of ${request.path}`);
    return { sizeBytes: SIZE, paddedBytes: 0, sha256: "0".repeat(64) };
  }

  async clone(image: string, disk: string): Promise<{ sizeBytes: number }> {
    if (!this.contents.has(`disk/${disk}`)) this.contents.set(`disk/${disk}`, this.#get("image", image));
    return { sizeBytes: SIZE };
  }

  async snapshot(disk: string, image: string): Promise<{ sizeBytes: number }> {
    if (!this.contents.has(`image/${image}`)) this.contents.set(`image/${image}`, this.#get("disk", disk));
    return { sizeBytes: SIZE };
  }

  async copy(image: string, copy: string): Promise<{ sizeBytes: number }> {
    if (!this.contents.has(`image/${copy}`)) this.contents.set(`image/${copy}`, this.#get("image", image));
    return { sizeBytes: SIZE };
  }

  async setAside(disk: string, image: string): Promise<void> {
    await this.snapshot(disk, image);
  }

  async revert(disk: string, image: string): Promise<void> {
    this.#get("disk", disk);
    this.contents.set(`disk/${disk}`, this.#get("image", image));
  }

  async flatten({ kind, id }: FlattenRequest, progress: (done: number, total: number) => void): Promise<void> {
    this.#get(kind, id);
    progress(SIZE, SIZE);
    this.flat.add(`${kind}/${id}`);
  }

  async remove(kind: StoredKind, id: string): Promise<void> {
    this.contents.delete(`${kind}/${id}`);
    this.descriptions.delete(id);
  }

  async stat(kind: StoredKind, id: string): Promise<StoredSize | undefined> {
    return this.contents.has(`${kind}/${id}`) ? { sizeBytes: SIZE, usedBytes: 0 } : undefined;
  }

  async list(): Promise<{ kind: StoredKind; id: string }[]> {
    return [...this.contents.keys()].map((key) => {
      const [kind, id] = key.split("/");
      return { kind: kind as StoredKind, id: id as string };
    });
  }

  async usage(): Promise<PoolUsage> {
    return this.#space.usage();
  }

  async backing(disk: string): Promise<Backing> {
    return { type: "file", path: `/memory/disks/${disk}` };
  }

  #get(kind: StoredKind, id: string): string {
    const content = this.contents.get(`${kind}/${id}`);
    if (content === undefined) throw new ApplianceError("NOT_FOUND", `there is no ${kind} ${id} in the pool`);
    return content;
  }
}
