import type { FileHandle } from "node:fs/promises";
import { getSystemErrorName } from "node:util";
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const fallocate = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
const ioctl = libc.func("int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)");

/** <linux/falloc.h> */
const FALLOC_FL_UNSHARE_RANGE = 0x40;
/** <linux/fiemap.h>: the request, its header, and what it answers of each extent. */
const FS_IOC_FIEMAP = 0xc020660b;
const HEADER_BYTES = 32;
const EXTENT_BYTES = 56;
const FIEMAP_FLAG_SYNC = 1;
const FIEMAP_EXTENT_LAST = 0x1;
const FIEMAP_EXTENT_UNWRITTEN = 0x800;
const FIEMAP_EXTENT_SHARED = 0x2000;
const EXTENTS_PER_CALL = 1024;

/** A piece of a file, in bytes. */
export type FileRange = { offset: number; length: number };

/** The pieces of a file whose blocks other files have too (reflinks), in order; what is not on disk yet is written first. */
export async function sharedExtents(file: FileHandle): Promise<FileRange[]> {
  const shared: FileRange[] = [];
  for await (const { offset, length, flags } of extents(file)) {
    if (flags & FIEMAP_EXTENT_SHARED) shared.push({ offset, length });
  }
  return shared;
}

/**
 * The pieces of a file that were written, in order: all others are zeros. What is not on disk yet is written first. Unlike
 * what SEEK_DATA finds, they don't depend on what the page cache has of blocks that were allocated and never written.
 */
export async function* writtenExtents(file: FileHandle): AsyncGenerator<FileRange> {
  for await (const { offset, length, flags } of extents(file)) {
    if (!(flags & FIEMAP_EXTENT_UNWRITTEN)) yield { offset, length };
  }
}

async function* extents(file: FileHandle): AsyncGenerator<FileRange & { flags: number }> {
  const { size } = await file.stat();
  for (let position = 0; position < size; ) {
    const map = Buffer.alloc(HEADER_BYTES + EXTENTS_PER_CALL * EXTENT_BYTES);
    map.writeBigUInt64LE(BigInt(position), 0);
    map.writeBigUInt64LE(BigInt(size - position), 8);
    map.writeUInt32LE(FIEMAP_FLAG_SYNC, 16);
    map.writeUInt32LE(EXTENTS_PER_CALL, 24);
    await call("ioctl", ioctl, file.fd, FS_IOC_FIEMAP, map);
    const mapped = map.readUInt32LE(20);
    if (mapped === 0) return;
    for (let at = HEADER_BYTES; at < HEADER_BYTES + mapped * EXTENT_BYTES; at += EXTENT_BYTES) {
      const offset = Number(map.readBigUInt64LE(at));
      const end = Math.min(size, offset + Number(map.readBigUInt64LE(at + 16)));
      const flags = map.readUInt32LE(at + 40);
      if (end > offset) yield { offset, length: end - offset, flags };
      if (flags & FIEMAP_EXTENT_LAST) return;
      position = end;
    }
  }
}

/**
 * Gives a piece of a file blocks of its own with the same content, whoever writes to it meanwhile (fallocate(2); XFS).
 * Durable once the file is synced; until then the file has either the old blocks or the new. Rejects like node:fs.
 */
export async function unshare(file: FileHandle, { offset, length }: FileRange): Promise<void> {
  await call("fallocate", fallocate, file.fd, FALLOC_FL_UNSHARE_RANGE, offset, length);
}

// biome-ignore lint/suspicious/noExplicitAny: each function has a prototype of its own
function call(syscall: string, native: any, ...args: unknown[]): Promise<void> {
  return new Promise((resolve, reject) => {
    native.async(...args, (failure: unknown, result: number) => {
      const errno = koffi.errno();
      if (failure) return reject(failure);
      if (result === 0) return resolve();
      const code = getSystemErrorName(-errno);
      reject(Object.assign(new Error(`${code}: ${syscall}`), { code, errno: -errno, syscall }));
    });
  });
}
