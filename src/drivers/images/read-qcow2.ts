import { Readable } from "node:stream";
import { ApplianceError } from "../../errors.ts";
import { CLUSTER_BYTES, type ClusterMap } from "./formats/cluster-map.ts";
import { Qcow2Layout } from "./formats/qcow2-layout.ts";
import type { ByteRange, Layout } from "./image-store.ts";

/** The content of an image as a store has it. */
export type SparseContent = {
  sizeBytes: number;
  /** Which clusters of it may hold anything but zeros. */
  map(): Promise<ClusterMap>;
  /** The bytes of these ranges, in ascending order, one after the other. */
  read(ranges: Iterable<ByteRange>): AsyncIterable<Buffer>;
};

/** As ImageStore's `layout`. */
export async function layoutOf(content: SparseContent): Promise<Layout> {
  const map = await content.map();
  return { sizeBytes: new Qcow2Layout(map).sizeBytes, digest: map.digest };
}

/** These bytes of a content's qcow2 file. CONFLICT where that is laid out otherwise than its digest says. */
export async function readQcow2(content: SparseContent, digest: string, range: ByteRange): Promise<Readable> {
  const map = await content.map();
  if (map.digest !== digest) {
    throw new ApplianceError("CONFLICT", "the image is laid out anew since it was asked for as qcow2", {
      details: {
        field: "layout",
        value: digest,
        remedy: "ask again: its content is the same, its qcow2 file is another",
      },
    });
  }
  return Readable.from(bytesOf(new Qcow2Layout(map), content, range), { objectMode: false });
}

async function* bytesOf(
  layout: Qcow2Layout,
  content: SparseContent,
  { first, last }: ByteRange,
): AsyncGenerator<Buffer> {
  const end = Math.min(last + 1, layout.sizeBytes);
  let position = first;
  while (position < Math.min(end, layout.tablesBytes)) {
    const within = position % CLUSTER_BYTES;
    const piece = layout.tableCluster((position - within) / CLUSTER_BYTES).subarray(within, within + end - position);
    position += piece.length;
    yield piece;
  }
  if (position >= end) return;
  let wantedBytes = 0;
  function* wanted(): Generator<ByteRange> {
    for (const one of layout.contentRanges({ first: position, last: end - 1 })) {
      wantedBytes += one.last - one.first + 1;
      yield one;
    }
  }
  let contentBytes = 0;
  for await (const piece of content.read(wanted())) {
    contentBytes += piece.length;
    yield piece;
  }
  if (contentBytes !== wantedBytes)
    throw new Error(`an image of ${content.sizeBytes} bytes was read as if it were shorter`);
  // the last cluster is whole, whatever the content's length
  const padding = Buffer.alloc(end - position - contentBytes);
  if (padding.length > 0) yield padding;
}
