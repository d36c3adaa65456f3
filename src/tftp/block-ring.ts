import { ApplianceError } from "../errors.ts";
import { DATA_HEADER_BYTES, writeDataHeader } from "../wire/tftp/packet.ts";

/** Fills `into` one buffer after the other from `position` on; answers the bytes read. */
export type ReadBlocks = (into: Uint8Array[], position: number) => Promise<number>;

const READ_AHEAD_BYTES = 128 * 1024;

/** preadv(2) takes no more buffers than this at once (IOV_MAX). */
const MAX_BUFFERS = 1024;

/**
 * The DATA packets of one transfer that are in memory: the unacknowledged ones
 * and some read-ahead. The file is read straight behind the packets' headers;
 * nothing is copied. Memory: the larger of two windows and 128 KiB, or the file.
 */
export class BlockRing {
  /** Number of the last block of the file. It is the first that is not full, maybe empty (RFC 1350 6). */
  readonly last: number;
  /** Blocks up to this one are in memory, back to the last acknowledged one. */
  loaded = 0;
  /** Bytes of the last block. */
  readonly #tailBytes: number;
  readonly #sizeBytes: number;
  readonly #blockBytes: number;
  readonly #read: ReadBlocks;
  readonly #packets: Buffer[];
  readonly #payloads: Buffer[];
  #reading = false;

  constructor(read: ReadBlocks, sizeBytes: number, blockBytes: number, windowBlocks: number) {
    this.#read = read;
    this.#sizeBytes = sizeBytes;
    this.#blockBytes = blockBytes;
    this.last = Math.floor(sizeBytes / blockBytes) + 1;
    this.#tailBytes = sizeBytes % blockBytes;
    const stride = DATA_HEADER_BYTES + blockBytes;
    const slots = Math.min(this.last, Math.max(2 * windowBlocks, Math.ceil(READ_AHEAD_BYTES / blockBytes)));
    const memory = Buffer.allocUnsafeSlow(slots * stride);
    this.#packets = Array.from({ length: slots }, (_, slot) => memory.subarray(slot * stride, (slot + 1) * stride));
    this.#payloads = this.#packets.map((packet) => packet.subarray(DATA_HEADER_BYTES));
  }

  /** The DATA packet of a loaded block that is not acknowledged yet. */
  packet(block: number): Buffer {
    const packet = this.#packets[block % this.#packets.length]!;
    return block === this.last ? packet.subarray(0, DATA_HEADER_BYTES + this.#tailBytes) : packet;
  }

  /** Whether enough of the ring is free for another read. */
  wantsRead(acked: number): boolean {
    if (this.#reading || this.loaded === this.last) return false;
    const held = this.loaded - Math.max(0, acked);
    return held === 0 || held <= this.#packets.length / 2;
  }

  /** Reads into what is free behind `acked`. One call at a time; fails when the file has become shorter. */
  async read(acked: number): Promise<void> {
    const first = this.loaded + 1;
    const free = this.#packets.length - (this.loaded - Math.max(0, acked));
    const until = Math.min(this.last, this.loaded + Math.min(free, MAX_BUFFERS));
    const into: Buffer[] = [];
    for (let block = first; block <= until; block++) {
      const slot = block % this.#packets.length;
      writeDataHeader(this.#packets[slot]!, block & 0xffff);
      if (block < this.last || this.#tailBytes > 0) into.push(this.#payloads[slot]!);
    }
    const position = (first - 1) * this.#blockBytes;
    const expected = Math.min(into.length * this.#blockBytes, this.#sizeBytes - position);
    this.#reading = true;
    const bytes = expected > 0 ? await this.#read(into, position) : 0;
    this.#reading = false;
    if (bytes < expected) throw new ApplianceError("CONFLICT", "the file became shorter while it was sent");
    this.loaded = until;
  }
}
