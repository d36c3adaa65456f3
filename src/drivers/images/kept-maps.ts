import { ClusterMap } from "./formats/cluster-map.ts";

/** So much they may take: as much as that of a full content of 8 TiB. */
const KEPT_BYTES = 16 * 1024 * 1024;

/** Calls `found` with each piece of a content that may hold anything but zeros. */
export type FindExtents = (found: (offset: number, length: number) => void) => Promise<void>;

/** The map of a content of `sizeBytes`. */
export async function mapOf(sizeBytes: number, extents: FindExtents): Promise<ClusterMap> {
  const map = new ClusterMap(sizeBytes);
  await extents((offset, length) => map.add(offset, length));
  return map;
}

/**
 * The maps that were made last, for whoever asks again: for how long a download is, and then for each part of it. The content
 * of an image never changes, so a map stays right, if not the sparsest one, whatever becomes of what lies below it.
 */
export class KeptMaps {
  readonly #keptBytes: number;
  /** By image, the one that was asked for longest ago first. */
  readonly #maps = new Map<string, ClusterMap>();

  constructor(keptBytes = KEPT_BYTES) {
    this.#keptBytes = keptBytes;
  }

  /** The map of an image, which is made from its extents where it is not kept. Fails as `extents`. */
  async of(image: string, sizeBytes: number, extents: FindExtents): Promise<ClusterMap> {
    const kept = this.#maps.get(image);
    const map = kept?.sizeBytes === sizeBytes ? kept : await mapOf(sizeBytes, extents);
    this.#maps.delete(image);
    this.#maps.set(image, map);
    if (map !== kept) this.#dropOldest();
    return map;
  }

  /** For what is gone, or lies in another way now. */
  forget(image: string): void {
    this.#maps.delete(image);
  }

  /** The last one stays, whatever its size. */
  #dropOldest(): void {
    let bytes = 0;
    for (const [image, map] of [...this.#maps].reverse()) {
      bytes += map.bytes;
      if (bytes > this.#keptBytes && bytes > map.bytes) this.#maps.delete(image);
    }
  }
}
