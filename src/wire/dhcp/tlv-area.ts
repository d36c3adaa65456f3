import { END, PAD } from "./protocol.ts";

/** The most bytes that one length byte can announce. */
export const MAX_CHUNK_BYTES = 255;

/** Bytes that a value takes, split into chunks that a length byte can announce (RFC 3396 6). */
export function tlvBytes(value: Uint8Array): number {
  return value.length + 2 * Math.max(1, Math.ceil(value.length / MAX_CHUNK_BYTES));
}

/** A stretch of a packet that is being filled with options; its last byte is kept for END. */
export class TlvArea {
  readonly #bytes: Uint8Array;
  #used = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get used(): number {
    return this.#used;
  }

  get room(): number {
    return this.#bytes.length - 1 - this.#used;
  }

  /** Writes a code and as much of the value as fits, answering how many bytes of it that was. */
  put(code: number, value: Uint8Array): number {
    let written = 0;
    do {
      const length = Math.min(value.length - written, MAX_CHUNK_BYTES, this.room - 2);
      if (length < 0 || (length === 0 && value.length > 0)) break;
      this.#bytes[this.#used] = code;
      this.#bytes[this.#used + 1] = length;
      this.#bytes.set(value.subarray(written, written + length), this.#used + 2);
      this.#used += 2 + length;
      written += length;
    } while (written < value.length);
    return written;
  }

  /** Writes a PAD, if there is room. */
  pad(): void {
    if (this.room > 0) this.#bytes[this.#used++] = PAD;
  }

  /** Writes END. */
  close(): void {
    this.#bytes[this.#used] = END;
    this.#used++;
  }
}
