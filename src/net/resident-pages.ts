import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const mmap = libc.func("void *mmap(void *address, size_t bytes, int protection, int flags, int fd, int64_t offset)");
const munmap = libc.func("int munmap(void *address, size_t bytes)");
const mincore = libc.func("int mincore(uintptr_t address, size_t bytes, _Out_ uint8_t *pages)");

// <sys/mman.h>
const PROT_READ = 1;
const MAP_SHARED = 1;
const PAGE_BYTES = 4096;

/** Tells which parts of a file are in the page cache, so that reading them waits for no disk. Maps the file, and never touches it. */
export class ResidentPages {
  readonly #mapping: unknown;
  readonly #address: bigint;
  readonly #bytes: number;

  private constructor(mapping: unknown, bytes: number) {
    this.#mapping = mapping;
    this.#address = BigInt(koffi.address(mapping));
    this.#bytes = bytes;
  }

  /** Undefined for a file that can't be mapped. Whoever opened it closes it. */
  static open(fd: number, bytes: number): ResidentPages | undefined {
    const mapping = mmap(null, bytes, PROT_READ, MAP_SHARED, fd, 0);
    // MAP_FAILED is the highest address
    if (BigInt.asIntN(64, BigInt(koffi.address(mapping))) === -1n) return undefined;
    return new ResidentPages(mapping, bytes);
  }

  /** Whether all of these bytes are there now; false for those beyond what was opened. */
  has(position: number, bytes: number): boolean {
    const first = position - (position % PAGE_BYTES);
    const end = position + bytes;
    if (end > this.#bytes) return false;
    const pages = new Uint8Array(Math.ceil((end - first) / PAGE_BYTES));
    if (mincore(this.#address + BigInt(first), end - first, pages) !== 0) return false;
    return !pages.includes(0);
  }

  close(): void {
    munmap(this.#mapping, this.#bytes);
  }
}
