import { type FileHandle, open } from "node:fs/promises";
import { addAbortSignal, type Readable } from "node:stream";
import { writtenExtents } from "../../net/file-extents.ts";
import type { ByteRange, Layout } from "./image-store.ts";
import type { FindExtents, KeptMaps } from "./kept-maps.ts";
import { layoutOf, readQcow2, type SparseContent } from "./read-qcow2.ts";

/** So much is read at a time. */
const READ_BYTES = 512 * 1024;

/** How a sparse file, whose map is kept under its path, is laid out as qcow2; as ImageStore's `layout`. */
export async function layoutOfFile(path: string, maps: KeptMaps): Promise<Layout> {
  const file = await open(path, "r");
  try {
    return await layoutOf(await contentOf(file, path, maps));
  } finally {
    await file.close();
  }
}

/** These bytes of a sparse file's qcow2 file. The file may be removed meanwhile. Fails as `readQcow2`. */
export async function readFileAsQcow2(
  path: string,
  maps: KeptMaps,
  digest: string,
  range: ByteRange,
  signal: AbortSignal,
): Promise<Readable> {
  const file = await open(path, "r");
  try {
    const bytes = await readQcow2(await contentOf(file, path, maps), digest, range);
    bytes.on("close", () => void file.close());
    return addAbortSignal(signal, bytes);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function contentOf(file: FileHandle, path: string, maps: KeptMaps): Promise<SparseContent> {
  const { size } = await file.stat();
  const extents: FindExtents = async (found) => {
    for await (const { offset, length } of writtenExtents(file)) found(offset, length);
  };
  return {
    sizeBytes: size,
    map: () => maps.of(path, size, extents),
    read: (ranges) => bytesOf(file, ranges),
  };
}

async function* bytesOf(file: FileHandle, ranges: Iterable<ByteRange>): AsyncGenerator<Buffer> {
  for (const { first, last } of ranges) {
    for (let position = first; position <= last; ) {
      const piece = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, last + 1 - position));
      const { bytesRead } = await file.read(piece, 0, piece.length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  }
}
