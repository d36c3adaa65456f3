import { createHash } from "node:crypto";
import type { ByteRange } from "../image-store.ts";

/** The unit of a qcow2 file, of what it holds as of what it says of that. */
export const CLUSTER_BYTES = 64 * 1024;
/** Clusters that one L2 table tells of. */
export const TABLE_CLUSTERS = CLUSTER_BYTES / 8;

/** Longest piece of content that is named at once. */
const MAX_RANGE_BYTES = 64 * 1024 * 1024;

/** Clusters of one L2 table that hold something: a bit each. `before`: how many there are in the tables before it. */
type Table = { index: number; bits: Uint8Array; before: number };

/**
 * Which clusters of a content may hold anything but zeros. It takes 1 KiB for each 512 MiB that has any: what is sparse
 * costs nothing, and a full TiB 2 MiB.
 */
export class ClusterMap {
  readonly sizeBytes: number;
  readonly #bits = new Map<number, Uint8Array>();
  #tables: Table[] | undefined;

  /** Of a content of that length. */
  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes;
  }

  /** Adds a piece of the content, in any order; what of it is beyond the end does not count. */
  add(offset: number, length: number): void {
    this.#tables = undefined;
    const end = Math.ceil(Math.min(offset + length, this.sizeBytes) / CLUSTER_BYTES);
    for (let cluster = Math.floor(offset / CLUSTER_BYTES); cluster < end; ) {
      const index = Math.floor(cluster / TABLE_CLUSTERS);
      const bits = this.#bits.get(index) ?? new Uint8Array(TABLE_CLUSTERS / 8);
      this.#bits.set(index, bits);
      const first = cluster % TABLE_CLUSTERS;
      const count = Math.min(TABLE_CLUSTERS - first, end - cluster);
      setBits(bits, first, count);
      cluster += count;
    }
  }

  /** The L2 tables that have any cluster, in order. */
  get tables(): readonly Readonly<Table>[] {
    if (this.#tables) return this.#tables;
    let before = 0;
    this.#tables = [...this.#bits]
      .sort(([one], [other]) => one - other)
      .map(([index, bits]) => {
        const table = { index, bits, before };
        before += countBits(bits);
        return table;
      });
    return this.#tables;
  }

  /** How many clusters there are. */
  get count(): number {
    const last = this.tables.at(-1);
    return last ? last.before + countBits(last.bits) : 0;
  }

  /** How much memory it takes. */
  get bytes(): number {
    return (1 + this.#bits.size) * (TABLE_CLUSTERS / 8);
  }

  /** The same for the same clusters of a content of the same length. 16 hex digits. */
  get digest(): string {
    const hash = createHash("sha256").update(`${this.sizeBytes}`);
    for (const { index, bits } of this.tables) hash.update(` ${index} `).update(bits);
    return hash.digest("hex").slice(0, 16);
  }

  /** The clusters from the one that has so many before it on, in order. */
  *clustersFrom(ordinal: number): Generator<number> {
    const tables = this.tables;
    let low = 0;
    for (let high = tables.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if (tables[middle]!.before <= ordinal) low = middle;
      else high = middle;
    }
    for (const { index, bits, before } of tables.slice(low)) {
      let skip = Math.max(0, ordinal - before);
      for (let bit = 0; bit < TABLE_CLUSTERS; bit++) {
        if (hasBit(bits, bit) && skip-- <= 0) yield index * TABLE_CLUSTERS + bit;
      }
    }
  }

  /**
   * Where in the content the bytes `first` to `last` are, both included, of its clusters one after the other: pieces in
   * order, with none of what is beyond the content's end.
   */
  *ranges({ first, last }: ByteRange): Generator<ByteRange> {
    let at = Math.floor(first / CLUSTER_BYTES) * CLUSTER_BYTES;
    let current: ByteRange | undefined;
    for (const cluster of this.clustersFrom(at / CLUSTER_BYTES)) {
      if (at > last) break;
      const start = cluster * CLUSTER_BYTES;
      const from = start + Math.max(0, first - at);
      const to = Math.min(start + Math.min(CLUSTER_BYTES - 1, last - at), this.sizeBytes - 1);
      at += CLUSTER_BYTES;
      if (current && from === current.last + 1 && to - current.first < MAX_RANGE_BYTES) {
        current.last = to;
        continue;
      }
      if (current) yield current;
      current = from <= to ? { first: from, last: to } : undefined;
    }
    if (current) yield current;
  }
}

/** Whether this bit of a table is set. */
export function hasBit(bits: Uint8Array, bit: number): boolean {
  return ((bits[bit >> 3] as number) & (1 << (bit & 7))) !== 0;
}

function setBits(bits: Uint8Array, first: number, count: number): void {
  for (let bit = first; bit < first + count; ) {
    const isWholeByte = (bit & 7) === 0 && first + count - bit >= 8;
    bits[bit >> 3] = isWholeByte ? 0xff : (bits[bit >> 3] as number) | (1 << (bit & 7));
    bit += isWholeByte ? 8 : 1;
  }
}

function countBits(bits: Uint8Array): number {
  let count = 0;
  for (const byte of bits) for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}
