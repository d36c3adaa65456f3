import type { FileHandle } from "node:fs/promises";
import { getSystemErrorName } from "node:util";
import koffi from "koffi";

const posixFallocate = koffi.load("libc.so.6").func("int posix_fallocate(int fd, int64_t offset, int64_t length)");

/**
 * Gives a range of a file its blocks on disk, and the file that length at least (posix_fallocate(3)): later writes there
 * can't fail for want of room. What the range holds stays; a hole in it reads as zeros as before.
 * Rejects like node:fs: ENOSPC may leave a part of the range allocated.
 */
export function preallocate(file: FileHandle, offset: number, length: number): Promise<void> {
  return new Promise((resolve, reject) => {
    posixFallocate.async(file.fd, offset, length, (failure: unknown, errno: number) => {
      if (failure) reject(failure);
      else if (errno === 0) resolve();
      else {
        const code = getSystemErrorName(-errno);
        reject(
          Object.assign(new Error(`${code}: posix_fallocate`), { code, errno: -errno, syscall: "posix_fallocate" }),
        );
      }
    });
  });
}

/** Whether an error of the file system says that there is no room, or none for this user. */
export function isNoRoom(error: unknown): boolean {
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}
