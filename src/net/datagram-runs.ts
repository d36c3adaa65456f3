import type { Socket } from "node:dgram";
import { constants } from "node:os";
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)");
const send = libc.func("intptr_t send(int fd, const void *bytes, uintptr_t length, int flags)");

// Linux, the same on x86-64 and arm64: <linux/udp.h>, <sys/socket.h>.
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const MSG_DONTWAIT = 0x40;

/** Smaller ones are sent one by one, so that other messages on the socket are never cut up. */
const LEAST_CUT_BYTES = 512;
/** Most datagrams of one system call (UDP_MAX_SEGMENTS before Linux 6.9). */
const MAX_SEGMENTS = 64;
/** Most bytes of one system call: what is cut up is a single UDP datagram at first. */
const MAX_RUN_BYTES = 65_507;

/** The socket's queue is full, or an ICMP message waits to be told: nothing that speaks against segmentation. */
const PASSING: readonly number[] = [constants.errno.EAGAIN, constants.errno.ENOBUFS, constants.errno.ECONNREFUSED];

/**
 * Sends runs of datagrams of one size on a connected socket. A whole run is one system call, which the kernel or the
 * NIC cuts up (UDP_SEGMENT, Linux 4.18); where it won't, for a path that has a smaller MTU or a device that can't, it is
 * one call for each. On the wire there is no difference.
 */
export class DatagramRuns {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #datagramBytes: number;
  /** Bytes that may go by one call. */
  #callBytes: number;

  /**
   * `fd` is the descriptor of `socket`, which is connected. All runs consist of datagrams of `datagramBytes` bytes;
   * whatever else is sent on the socket is not longer than 512 bytes.
   */
  constructor(socket: Socket, fd: number, datagramBytes: number) {
    this.#socket = socket;
    this.#fd = fd;
    this.#datagramBytes = datagramBytes;
    const segments = Math.min(MAX_SEGMENTS, Math.floor(MAX_RUN_BYTES / datagramBytes));
    const cuts = segments > 1 && datagramBytes >= LEAST_CUT_BYTES && this.#cutAt(datagramBytes);
    this.#callBytes = cuts ? segments * datagramBytes : datagramBytes;
  }

  /** Whether nothing waits for the socket. Until then, the bytes of earlier runs must stay as they are. */
  get idle(): boolean {
    return this.#socket.getSendQueueCount() === 0;
  }

  /** Sends the datagrams that `run` consists of; the last one may be shorter. Errors are losses, as on the way. */
  send(run: Buffer): void {
    let sent = 0;
    // What node:dgram still holds goes first.
    while (sent < run.length && this.idle) {
      const part = run.subarray(sent, sent + this.#callBytes);
      if (send(this.#fd, part, part.length, MSG_DONTWAIT) >= 0) sent += part.length;
      else if (part.length <= this.#datagramBytes || PASSING.includes(koffi.errno())) break;
      else this.#cutNoMore();
    }
    // node:dgram waits until there is room.
    for (; sent < run.length; sent += this.#datagramBytes) {
      this.#socket.send(run.subarray(sent, sent + this.#datagramBytes));
    }
  }

  #cutNoMore(): void {
    this.#cutAt(0);
    this.#callBytes = this.#datagramBytes;
  }

  /** Has the kernel cut whatever is sent into datagrams of that size; 0: no more. */
  #cutAt(bytes: number): boolean {
    return setsockopt(this.#fd, SOL_UDP, UDP_SEGMENT, Buffer.from(Int32Array.of(bytes).buffer), 4) === 0;
  }
}
