import { ApplianceError } from "../../errors.ts";

/** Option names are case-insensitive (RFC 2347): keys are lower case here. Order is the packet's. */
export type TftpOptions = ReadonlyMap<string, string>;

/** A request to read or write a file (RRQ, WRQ); `mode` is lower case. */
export type TftpRequest = { type: "read" | "write"; file: string; mode: string; options: TftpOptions };

/** A TFTP packet (RFC 1350 5, RFC 2347), as bytes mean it. Block numbers are those of the wire: 0 to 65535. */
export type TftpPacket =
  | TftpRequest
  | { type: "data"; block: number; bytes: Uint8Array }
  | { type: "ack"; block: number }
  | { type: "error"; code: number; message: string }
  | { type: "oack"; options: TftpOptions };

/** The error codes of RFC 1350 that this appliance sends. */
export const TFTP_ERROR = {
  undefined: 0,
  fileNotFound: 1,
  accessViolation: 2,
  illegalOperation: 4,
} as const;

/** Bytes before the payload of a DATA packet. */
export const DATA_HEADER_BYTES = 4;

const OPCODE = { read: 1, write: 2, data: 3, ack: 4, error: 5, oack: 6 } as const;

/**
 * The packet in `bytes`; INVALID when it is none. Lenient where firmware is
 * sloppy and the meaning is plain: zero padding behind a request, bytes behind
 * an ACK, and an ERROR whose text lacks its final NUL. DATA is not copied.
 */
export function decodeTftp(bytes: Uint8Array): TftpPacket {
  if (bytes.length < 4) throw malformed("packet is shorter than 4 bytes");
  const number = bytes[2]! * 256 + bytes[3]!;
  switch (bytes[0]! * 256 + bytes[1]!) {
    case OPCODE.read:
      return decodeRequest("read", bytes);
    case OPCODE.write:
      return decodeRequest("write", bytes);
    case OPCODE.data:
      return { type: "data", block: number, bytes: bytes.subarray(DATA_HEADER_BYTES) };
    case OPCODE.ack:
      return { type: "ack", block: number };
    case OPCODE.error: {
      const end = bytes.indexOf(0, 4);
      return { type: "error", code: number, message: text(bytes, 4, end < 0 ? bytes.length : end) };
    }
    case OPCODE.oack:
      return { type: "oack", options: decodeOptions(bytes, 2) };
    default:
      throw malformed("unknown opcode");
  }
}

/** The bytes of a packet; INVALID when a text holds a NUL or a block number does not fit 16 bits. */
export function encodeTftp(packet: TftpPacket): Buffer {
  switch (packet.type) {
    case "read":
    case "write":
      return concat(OPCODE[packet.type], [...strings(packet.file, packet.mode), ...optionStrings(packet.options)]);
    case "data":
      return concat(OPCODE.data, [uint16(packet.block), packet.bytes]);
    case "ack":
      return concat(OPCODE.ack, [uint16(packet.block)]);
    case "error":
      return concat(OPCODE.error, [uint16(packet.code), ...strings(packet.message)]);
    case "oack":
      return concat(OPCODE.oack, optionStrings(packet.options));
  }
}

/** Writes the header of DATA `block` (its wire number) at `offset`, in front of a payload that is put in place by itself. */
export function writeDataHeader(memory: Buffer, offset: number, block: number): void {
  memory.writeUInt16BE(OPCODE.data, offset);
  memory.writeUInt16BE(block, offset + 2);
}

function decodeRequest(type: "read" | "write", bytes: Uint8Array): TftpRequest {
  const file = terminated(bytes, 2);
  const mode = terminated(bytes, file.next);
  if (file.text === "") throw malformed("request names no file");
  return { type, file: file.text, mode: mode.text.toLowerCase(), options: decodeOptions(bytes, mode.next) };
}

function decodeOptions(bytes: Uint8Array, start: number): TftpOptions {
  const options = new Map<string, string>();
  let offset = start;
  // An empty name can't be an option: the rest is padding.
  while (offset < bytes.length && bytes[offset] !== 0) {
    const name = terminated(bytes, offset);
    const value = terminated(bytes, name.next);
    const key = name.text.toLowerCase();
    // RFC 2347: no option twice. The first one stands.
    if (!options.has(key)) options.set(key, value.text);
    offset = value.next;
  }
  return options;
}

function terminated(bytes: Uint8Array, start: number): { text: string; next: number } {
  const end = bytes.indexOf(0, start);
  if (end < 0) throw malformed("text without its final NUL");
  return { text: text(bytes, start, end), next: end + 1 };
}

function text(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
}

function concat(opcode: number, parts: Uint8Array[]): Buffer {
  return Buffer.concat([uint16(opcode), ...parts]);
}

function uint16(value: number): Buffer {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw malformed(`${value} does not fit 16 bits`);
  return Buffer.from([value >> 8, value & 255]);
}

function optionStrings(options: TftpOptions): Buffer[] {
  return strings(...[...options].flat());
}

function strings(...texts: string[]): Buffer[] {
  return texts.map((one) => {
    if (one.includes("\0")) throw malformed("text holds a NUL");
    return Buffer.from(`${one}\0`, "utf8");
  });
}

function malformed(what: string): ApplianceError {
  return new ApplianceError("INVALID", `TFTP: ${what}`);
}
