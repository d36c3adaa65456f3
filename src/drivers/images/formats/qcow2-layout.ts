import type { ByteRange } from "../image-store.ts";
import { CLUSTER_BYTES, type ClusterMap, hasBit, TABLE_CLUSTERS } from "./cluster-map.ts";

const MAGIC = 0x514649fb;
const VERSION = 3;
const CLUSTER_BITS = 16;
/** Reference counts of 2 ** 4 bits. */
const REFCOUNT_ORDER = 4;
const HEADER_BYTES = 104;
/** Entries of a table of offsets, and of a block of reference counts, in one cluster. */
const OFFSETS = CLUSTER_BYTES / 8;
const REFCOUNTS = CLUSTER_BYTES / 2;
/** In an offset of L1 and L2: what lies there is referred to once. */
const COPIED = 1n << 63n;

/**
 * A qcow2 file (QEMU's docs/interop/qcow2) of a content, of which every byte follows from the map of the content's clusters:
 *   header | refcount table | refcount blocks | L1 table | L2 tables | the content's clusters, in order
 * A cluster that the map does not have is not allocated, and an L2 table with no cluster isn't there.
 */
export class Qcow2Layout {
  /** Of the file. */
  readonly sizeBytes: number;
  /** How much of it lies before the content. */
  readonly tablesBytes: number;
  readonly #map: ClusterMap;
  readonly #l1Entries: number;
  /** Clusters of the file where each part begins. */
  readonly #refcountTable = 1;
  readonly #refcountBlocks: number;
  readonly #l1: number;
  readonly #l2: number;
  readonly #content: number;
  readonly #end: number;

  /** Of the content that has these clusters. */
  constructor(map: ClusterMap) {
    this.#map = map;
    this.#l1Entries = Math.ceil(map.sizeBytes / (CLUSTER_BYTES * TABLE_CLUSTERS));
    const l1Clusters = Math.ceil(this.#l1Entries / OFFSETS);
    const others = 1 + l1Clusters + map.tables.length + map.count;
    // they count themselves too
    let blocks = 0;
    let tableClusters = 0;
    for (let counted = -1; counted !== blocks + tableClusters; ) {
      counted = blocks + tableClusters;
      blocks = Math.ceil((others + counted) / REFCOUNTS);
      tableClusters = Math.ceil(blocks / OFFSETS);
    }
    this.#refcountBlocks = this.#refcountTable + tableClusters;
    this.#l1 = this.#refcountBlocks + blocks;
    this.#l2 = this.#l1 + l1Clusters;
    this.#content = this.#l2 + map.tables.length;
    this.#end = this.#content + map.count;
    this.sizeBytes = this.#end * CLUSTER_BYTES;
    this.tablesBytes = this.#content * CLUSTER_BYTES;
  }

  /** One of the clusters before the content. */
  tableCluster(index: number): Buffer {
    const cluster = Buffer.alloc(CLUSTER_BYTES);
    if (index < this.#refcountTable) this.#writeHeader(cluster);
    else if (index < this.#refcountBlocks) this.#writeRefcountTable(cluster, index - this.#refcountTable);
    else if (index < this.#l1) this.#writeRefcounts(cluster, index - this.#refcountBlocks);
    else if (index < this.#l2) this.#writeL1(cluster, index - this.#l1);
    else this.#writeL2(cluster, index - this.#l2);
    return cluster;
  }

  /** What of the content the file has from byte `first` to `last`, both included, none of them before it. */
  contentRanges({ first, last }: ByteRange): Iterable<ByteRange> {
    return this.#map.ranges({ first: first - this.tablesBytes, last: last - this.tablesBytes });
  }

  #writeHeader(cluster: Buffer): void {
    cluster.writeUInt32BE(MAGIC, 0);
    cluster.writeUInt32BE(VERSION, 4);
    cluster.writeUInt32BE(CLUSTER_BITS, 20);
    cluster.writeBigUInt64BE(BigInt(this.#map.sizeBytes), 24);
    cluster.writeUInt32BE(this.#l1Entries, 36);
    cluster.writeBigUInt64BE(offsetOf(this.#l1), 40);
    cluster.writeBigUInt64BE(offsetOf(this.#refcountTable), 48);
    cluster.writeUInt32BE(this.#refcountBlocks - this.#refcountTable, 56);
    cluster.writeUInt32BE(REFCOUNT_ORDER, 96);
    cluster.writeUInt32BE(HEADER_BYTES, 100);
  }

  #writeRefcountTable(cluster: Buffer, part: number): void {
    const first = this.#refcountBlocks + part * OFFSETS;
    const count = Math.min(OFFSETS, this.#l1 - first);
    for (let entry = 0; entry < count; entry++) cluster.writeBigUInt64BE(offsetOf(first + entry), entry * 8);
  }

  #writeRefcounts(cluster: Buffer, block: number): void {
    const count = Math.min(REFCOUNTS, this.#end - block * REFCOUNTS);
    cluster.fill(Buffer.from([0, 1]), 0, count * 2);
  }

  #writeL1(cluster: Buffer, part: number): void {
    for (const [ordinal, { index }] of this.#map.tables.entries()) {
      const entry = index - part * OFFSETS;
      if (entry < 0 || entry >= OFFSETS) continue;
      cluster.writeBigUInt64BE(offsetOf(this.#l2 + ordinal) | COPIED, entry * 8);
    }
  }

  #writeL2(cluster: Buffer, ordinal: number): void {
    const { bits, before } = this.#map.tables[ordinal]!;
    let next = this.#content + before;
    for (let entry = 0; entry < TABLE_CLUSTERS; entry++) {
      if (hasBit(bits, entry)) cluster.writeBigUInt64BE(offsetOf(next++) | COPIED, entry * 8);
    }
  }
}

function offsetOf(cluster: number): bigint {
  return BigInt(cluster) * BigInt(CLUSTER_BYTES);
}
