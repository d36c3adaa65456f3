import koffi from "koffi";

const fcntl = koffi.load("libc.so.6").func("int fcntl(int fd, int command, ...)");

// Linux: <fcntl.h>
const F_DUPFD_CLOEXEC = 1030;
/** Not one of the standard streams. */
const LEAST_FD = 3;

/**
 * A second descriptor for what `fd` stands for, which stays open when that is closed; children don't inherit it.
 * Undefined when `fd` is closed or the process has too many (`koffi.errno()`). Whoever asked for it closes it.
 */
export function duplicateDescriptor(fd: number): number | undefined {
  const second: number = fcntl(fd, F_DUPFD_CLOEXEC, "int", LEAST_FD);
  return second < 0 ? undefined : second;
}
