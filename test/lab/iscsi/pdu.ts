/** iSCSI PDUs (RFC 7143 11): a header of 48 bytes, then a data segment padded to words. No digests, no AHS to send. */

export const HEADER_BYTES = 48;
export const OPCODE = {
  nopOut: 0x00,
  command: 0x01,
  login: 0x03,
  dataOut: 0x05,
  logout: 0x06,
  nopIn: 0x20,
  response: 0x21,
  loginResponse: 0x23,
  dataIn: 0x25,
  logoutResponse: 0x26,
  readyToTransfer: 0x31,
} as const;
/** The reserved tag: no task, no transfer. */
export const NO_TAG = 0xffff_ffff;
export const FINAL = 0x80;

export type Pdu = { opcode: number; header: Buffer; data: Buffer };

/** A header with its opcode, flags and initiator task tag; the rest is the caller's to fill in. */
export function newHeader(opcode: number, flags: number, tag: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = opcode;
  header[1] = flags;
  header.writeUInt32BE(tag, 16);
  return header;
}

/** Header and data as they go out. */
export function encodePdu(header: Buffer, data: Buffer = Buffer.alloc(0)): Buffer[] {
  header.writeUIntBE(data.length, 5, 3);
  const padding = -data.length & 3;
  return [header, data, ...(padding ? [Buffer.alloc(padding)] : [])];
}

/** Cuts a byte stream into PDUs. */
export class PduReader {
  #chunks: Buffer[] = [];
  #length = 0;

  *push(chunk: Buffer): Generator<Pdu> {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    while (this.#length >= HEADER_BYTES) {
      if (this.#chunks.length > 1 && this.#chunks[0]!.length < HEADER_BYTES) this.#join();
      const head = this.#chunks[0]!;
      const start = HEADER_BYTES + head[4]! * 4;
      const end = start + head.readUIntBE(5, 3);
      const whole = end + (-end & 3);
      if (this.#length < whole) return;
      this.#join();
      const bytes = this.#chunks[0]!;
      this.#chunks = whole < bytes.length ? [bytes.subarray(whole)] : [];
      this.#length -= whole;
      yield { opcode: bytes[0]! & 0x3f, header: bytes.subarray(0, HEADER_BYTES), data: bytes.subarray(start, end) };
    }
  }

  #join(): void {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
  }
}
