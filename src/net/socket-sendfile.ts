import { closeSync } from "node:fs";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import koffi from "koffi";
import pLimit from "p-limit";
import { duplicateDescriptor } from "./duplicate-descriptor.ts";
import { ResidentPages } from "./resident-pages.ts";

const libc = koffi.load("libc.so.6");
const sendfile = libc.func("intptr_t sendfile(int out, int in, _Inout_ int64_t *position, uintptr_t bytes)");

/** Most bytes that are sent without a worker thread before the event loop has its turn: some 100 µs. */
const MAX_RESIDENT_BYTES = 1024 * 1024;

/** Most bytes of one call, so that one fast reader does not keep a worker thread from the others. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Calls at a time, the others wait in turn: libuv has four threads, and files that come from a slow disk must leave some to
 * the journal. Nor does koffi take more than 256.
 */
const inTurn = pLimit(2);

/**
 * Sends pieces of one file on a TCP socket of Node's without reading them: sendfile(2), at once where the page cache has
 * them, else on a worker thread, since they have to come from the disk first. It has a descriptor of its own for the socket, or a number that Node closes meanwhile
 * might be another client's by then.
 */
export class SocketSendfile {
  readonly #fd: number;
  readonly #file: number;
  readonly #resident: ResidentPages | undefined;

  private constructor(fd: number, file: number, fileBytes: number) {
    this.#fd = fd;
    this.#file = file;
    this.#resident = ResidentPages.open(file, fileBytes);
  }

  /** Undefined where the socket has no descriptor (any more). Whoever opened it closes it, before the file. */
  static open(socket: Socket, file: number, fileBytes: number): SocketSendfile | undefined {
    const { fd = -1 } = (socket as unknown as { _handle?: { fd?: number } | null })._handle ?? {};
    const own = duplicateDescriptor(fd);
    return own === undefined ? undefined : new SocketSendfile(own, file, fileBytes);
  }

  /**
   * Sends as much from `position` on as the socket takes now, at most `bytes` and 4 MiB: answers how much that
   * was, 0 at the end of the file, -1 where the socket takes nothing now, is closed, or the file can't be sent like this.
   * Node must have nothing left to write to the socket. Wait for the answer before the file or this is closed.
   */
  async send(position: number, bytes: number): Promise<number> {
    const piece = Math.min(bytes, MAX_RESIDENT_BYTES);
    if (!this.#resident?.has(position, piece)) {
      return inTurn(() => this.#sendFromDisk(position, Math.min(bytes, MAX_BYTES)));
    }
    const sent = Number(sendfile(this.#fd, this.#file, [position], piece));
    await setImmediate();
    return sent;
  }

  #sendFromDisk(position: number, bytes: number): Promise<number> {
    return new Promise((resolve) => {
      sendfile.async(this.#fd, this.#file, [position], bytes, (error: unknown, sent: number | bigint) =>
        resolve(error ? -1 : Number(sent)),
      );
    });
  }

  close(): void {
    this.#resident?.close();
    closeSync(this.#fd);
  }
}
