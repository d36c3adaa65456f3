const BLOCK_BYTES = 64 * 1024;

/** The blocks of a piece of content that hold anything but zeros, and where they begin in it: the others are holes. */
export function* blocksOfContent(piece: Uint8Array): Generator<[offset: number, block: Uint8Array]> {
  for (let offset = 0; offset < piece.length; offset += BLOCK_BYTES) {
    const block = piece.subarray(offset, offset + BLOCK_BYTES);
    if (!isZero(block)) yield [offset, block];
  }
}

/** Whether all bytes are zero; true for none. */
export function isZero(bytes: Uint8Array): boolean {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return bytes.length === 0 || (bytes[0] === 0 && view.compare(view, 1, view.length, 0, view.length - 1) === 0);
}
