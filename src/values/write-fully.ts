/** An open file, as node:fs/promises gives it. */
export type WriteTarget = {
  write(bytes: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesWritten: number }>;
};

/**
 * Writes all of the bytes, at `position`, or where the file is where none is named. write(2) may take fewer than it is
 * given, as on a disk that fills up: only the next call says why.
 */
export async function writeFully(
  target: WriteTarget,
  bytes: Uint8Array,
  position: number | null = null,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const at = position === null ? null : position + done;
    done += (await target.write(bytes, done, bytes.length - done, at)).bytesWritten;
  }
}
