import { END, PAD } from "./protocol.ts";

/** The most bytes that one length byte can announce. */
export const MAX_CHUNK_BYTES = 255;

/** Bytes that a value takes, split into chunks that a length byte can announce (RFC 3396 6). */
export function tlvBytes(value: Uint8Array): number {
  return value.length + 2 * Math.max(1, Math.ceil(value.length / MAX_CHUNK_BYTES));
}

/** A stretch of a packet that is being filled with options; its last byte is kept for END. */
export class TlvArea {
  readonly #packet: Uint8Array;
  readonly #start: number;
  readonly #length: number;
  #used = 0;

  constructor(packet: Uint8Array, start: number, length: number) {
    this.#packet = packet;
    this.#start = start;
    this.#length = length;
  }

  get used(): number {
    return this.#used;
  }

  get room(): number {
    return this.#length - 1 - this.#used;
  }

  /** Writes a code and as much of the value as fits, answering how many bytes of it that was. */
  put(code: number, value: Uint8Array): number {
    let written = 0;
    do {
      const length = Math.min(value.length - written, MAX_CHUNK_BYTES, this.room - 2);
      if (length < 0 || (length === 0 && value.length > 0)) break;
      this.#append(code);
      this.#append(length);
      // byte by byte: most values are short, and a view of a part costs more than they do
      for (const end = written + length; written < end; written++) this.#append(value[written]!);
    } while (written < value.length);
    return written;
  }

  /** Writes a PAD, if there is room. */
  pad(): void {
    if (this.room > 0) this.#append(PAD);
  }

  /** Writes END. */
  close(): void {
    this.#append(END);
  }

  #append(byte: number): void {
    this.#packet[this.#start + this.#used++] = byte;
  }
}
