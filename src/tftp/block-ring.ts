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
  /** Bytes of a DATA packet that is full. */
  readonly packetBytes: number;
  /** Blocks up to this one are in memory, back to the last acknowledged one. */
  loaded = 0;
  /** Bytes of the last block. */
  readonly #tailBytes: number;
  readonly #sizeBytes: number;
  readonly #blockBytes: number;
  readonly #read: ReadBlocks;
  readonly #memory: Buffer;
  readonly #payloads: Buffer[];
  #reading = false;

  constructor(read: ReadBlocks, sizeBytes: number, blockBytes: number, windowBlocks: number) {
    this.#read = read;
    this.#sizeBytes = sizeBytes;
    this.#blockBytes = blockBytes;
    this.last = Math.floor(sizeBytes / blockBytes) + 1;
    this.#tailBytes = sizeBytes % blockBytes;
    this.packetBytes = DATA_HEADER_BYTES + blockBytes;
    const slots = Math.min(this.last, Math.max(2 * windowBlocks, Math.ceil(READ_AHEAD_BYTES / blockBytes)));
    this.#memory = Buffer.allocUnsafeSlow(slots * this.packetBytes);
    this.#payloads = Array.from({ length: slots }, (_, slot) =>
      this.#memory.subarray(slot * this.packetBytes + DATA_HEADER_BYTES, (slot + 1) * this.packetBytes),
    );
  }

  /**
   * The DATA packets of blocks `first` to `to`, one behind the other, as far as they lie so in memory: ask again for
   * those that are missing. All are of `packetBytes`, but the file's last one. They are loaded and not acknowledged yet.
   */
  packets(first: number, to: number): Buffer {
    const slots = this.#payloads.length;
    const slot = first % slots;
    const until = Math.min(to, first + slots - slot - 1);
    const missing = until === this.last ? this.#blockBytes - this.#tailBytes : 0;
    const start = slot * this.packetBytes;
    return this.#memory.subarray(start, start + (until - first + 1) * this.packetBytes - missing);
  }

  /** Whether enough of the ring is free for another read. */
  wantsRead(acked: number): boolean {
    if (this.#reading || this.loaded === this.last) return false;
    const held = this.loaded - Math.max(0, acked);
    return held === 0 || held <= this.#payloads.length / 2;
  }

  /** Reads into what is free behind `acked`. One call at a time; fails when the file has become shorter. */
  async read(acked: number): Promise<void> {
    const first = this.loaded + 1;
    const slots = this.#payloads.length;
    const free = slots - (this.loaded - Math.max(0, acked));
    const until = Math.min(this.last, this.loaded + Math.min(free, MAX_BUFFERS));
    const into: Buffer[] = [];
    for (let block = first; block <= until; block++) {
      const slot = block % slots;
      writeDataHeader(this.#memory, slot * this.packetBytes, block & 0xffff);
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
