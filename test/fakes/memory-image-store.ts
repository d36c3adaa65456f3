import { Readable } from "node:stream";
import { zstdCompressSync } from "node:zlib";
import type {
  Backing,
  FlattenRequest,
  ImageStore,
  ImportRequest,
  ImportResult,
  Layout,
  PoolUsage,
  ReadRequest,
  StoredKind,
  StoredSize,
} from "../../src/drivers/images/image-store.ts";
import { mapOf } from "../../src/drivers/images/kept-maps.ts";
import type { Description } from "../../src/drivers/images/pool-catalogue.ts";
import { layoutOf, readQcow2, type SparseContent } from "../../src/drivers/images/read-qcow2.ts";
import { ApplianceError } from "../../src/errors.ts";
import type { IoLimits } from "../../src/values/io-limits.ts";
import { blocksOfContent } from "../../src/values/zeros.ts";
import { MemoryPoolSpace } from "./memory-pool-space.ts";

const SIZE = 1024 * 1024;

/** An image store that keeps its contents as strings in memory. Held to test/contract/image-store.test.ts like the real ones. */
export class MemoryImageStore implements ImageStore {
  readonly contents = new Map<string, string>();
  /** Bytes that a text stands for, where they matter. */
  readonly files = new Map<string, Buffer>();
  /** Of what is kept here, for a `MemoryPoolCatalogue`. */
  readonly descriptions = new Map<string, Description>();
  readonly flat = new Set<string>();
  /** Of disks that have any. */
  readonly limits = new Map<string, IoLimits>();
  readonly #sizes = new Map<string, number>();
  readonly #space: MemoryPoolSpace;

  constructor(space = new MemoryPoolSpace()) {
    this.#space = space;
  }

  async import(request: ImportRequest, progress: (done: number, total: number) => void): Promise<ImportResult> {
    progress(SIZE, SIZE);
    this.contents.set(`image/${request.image}`, `content of ${request.path}`);
    return { sizeBytes: SIZE, paddedBytes: 0, sha256: "0".repeat(64) };
  }

  async read({ image, range, layout, compression }: ReadRequest): Promise<Readable> {
    const { bytes: content, sparse } = this.#contentOf(image);
    if (layout !== undefined) return readQcow2(sparse, layout, range);
    const { first, last } = range ?? { first: 0, last: content.length - 1 };
    const wanted = compression ? zstdCompressSync(content) : content.subarray(first, last + 1);
    const pieces = Array.from({ length: Math.ceil(wanted.length / SIZE) }, (_, at) =>
      wanted.subarray(at * SIZE, (at + 1) * SIZE),
    );
    return Readable.from(pieces);
  }

  async layout(image: string): Promise<Layout> {
    return layoutOf(this.#contentOf(image).sparse);
  }

  /** What the text that stands for a content stands for. */
  bytes(kind: StoredKind, id: string): Buffer {
    const text = this.contents.get(`${kind}/${id}`) ?? "";
    return this.files.get(text) ?? Buffer.alloc(SIZE, text);
  }

  async clone(image: string, disk: string, _signal: AbortSignal, sizeBytes?: number): Promise<{ sizeBytes: number }> {
    if (!this.contents.has(`disk/${disk}`)) {
      this.contents.set(`disk/${disk}`, this.#get("image", image));
      this.#sizes.set(`disk/${disk}`, sizeBytes ?? this.#size("image", image));
    }
    return { sizeBytes: this.#size("disk", disk) };
  }

  async create(disk: string, sizeBytes: number): Promise<void> {
    if (this.contents.has(`disk/${disk}`)) return;
    this.contents.set(`disk/${disk}`, "");
    this.#sizes.set(`disk/${disk}`, sizeBytes);
  }

  async snapshot(disk: string, image: string): Promise<{ sizeBytes: number }> {
    if (!this.contents.has(`image/${image}`)) this.contents.set(`image/${image}`, this.#get("disk", disk));
    this.#sizes.set(`image/${image}`, this.#size("disk", disk));
    return { sizeBytes: this.#size("image", image) };
  }

  async copy(image: string, copy: string): Promise<{ sizeBytes: number }> {
    if (!this.contents.has(`image/${copy}`)) this.contents.set(`image/${copy}`, this.#get("image", image));
    this.#sizes.set(`image/${copy}`, this.#size("image", image));
    return { sizeBytes: this.#size("image", copy) };
  }

  async setAside(disk: string, image: string): Promise<void> {
    await this.snapshot(disk, image);
  }

  async revert(disk: string, image: string, _signal: AbortSignal, sizeBytes?: number): Promise<void> {
    this.#get("disk", disk);
    this.#sizes.set(`disk/${disk}`, sizeBytes ?? this.#size("image", image));
    this.contents.set(`disk/${disk}`, this.#get("image", image));
  }

  async flatten({ kind, id }: FlattenRequest, progress: (done: number, total: number) => void): Promise<void> {
    this.#get(kind, id);
    progress(SIZE, SIZE);
    this.flat.add(`${kind}/${id}`);
  }

  async limit(disk: string, limits: IoLimits): Promise<void> {
    this.#get("disk", disk);
    if (Object.keys(limits).length > 0) this.limits.set(disk, limits);
    else this.limits.delete(disk);
  }

  async remove(kind: StoredKind, id: string): Promise<void> {
    this.limits.delete(id);
    this.contents.delete(`${kind}/${id}`);
    this.descriptions.delete(id);
  }

  async stat(kind: StoredKind, id: string): Promise<StoredSize | undefined> {
    return this.contents.has(`${kind}/${id}`) ? { sizeBytes: this.#size(kind, id), usedBytes: 0 } : undefined;
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

  #contentOf(image: string): { bytes: Buffer; sparse: SparseContent } {
    this.#get("image", image);
    const bytes = this.bytes("image", image);
    return {
      bytes,
      sparse: {
        sizeBytes: bytes.length,
        map: () =>
          mapOf(bytes.length, async (found) => {
            for (const [offset, block] of blocksOfContent(bytes)) found(offset, block.length);
          }),
        read: async function* (ranges) {
          for (const { first, last } of ranges) yield bytes.subarray(first, last + 1);
        },
      },
    };
  }

  #size(kind: StoredKind, id: string): number {
    return this.#sizes.get(`${kind}/${id}`) ?? SIZE;
  }

  #get(kind: StoredKind, id: string): string {
    const content = this.contents.get(`${kind}/${id}`);
    if (content === undefined) throw new ApplianceError("NOT_FOUND", `there is no ${kind} ${id} in the pool`);
    return content;
  }
}
