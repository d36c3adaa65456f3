import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ApplianceError } from "../../../../src/errors.ts";
import { decodeTftp, encodeTftp, type TftpPacket, writeDataHeader } from "../../../../src/wire/tftp/packet.ts";

const options = (...pairs: [string, string][]) => new Map(pairs);

/** Packets as they stand on the wire. */
const EXAMPLES: { what: string; bytes: Buffer; packet: TftpPacket }[] = [
  {
    what: "RRQ without options",
    bytes: Buffer.from("\0\x01undionly.kpxe\0octet\0", "latin1"),
    packet: { type: "read", file: "undionly.kpxe", mode: "octet", options: options() },
  },
  {
    what: "RRQ of a UEFI ROM",
    bytes: Buffer.from("\0\x01snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0", "latin1"),
    packet: {
      type: "read",
      file: "snponly.efi",
      mode: "octet",
      options: options(["tsize", "0"], ["blksize", "1468"], ["windowsize", "4"]),
    },
  },
  {
    what: "WRQ",
    bytes: Buffer.from("\0\x02core\0netascii\0", "latin1"),
    packet: { type: "write", file: "core", mode: "netascii", options: options() },
  },
  {
    what: "DATA",
    bytes: Buffer.from([0, 3, 0xff, 0xfe, 1, 2, 3]),
    packet: { type: "data", block: 65534, bytes: Buffer.from([1, 2, 3]) },
  },
  { what: "empty DATA", bytes: Buffer.from([0, 3, 0, 7]), packet: { type: "data", block: 7, bytes: Buffer.alloc(0) } },
  { what: "ACK", bytes: Buffer.from([0, 4, 1, 2]), packet: { type: "ack", block: 258 } },
  {
    what: "ERROR",
    bytes: Buffer.from("\0\x05\0\x01no such file\0", "latin1"),
    packet: { type: "error", code: 1, message: "no such file" },
  },
  {
    what: "OACK",
    bytes: Buffer.from("\0\x06tsize\x00100\0blksize\x001432\0", "latin1"),
    packet: { type: "oack", options: options(["tsize", "100"], ["blksize", "1432"]) },
  },
];

const text = fc.string({ unit: "grapheme" }).filter((one) => !one.includes("\0"));
const name = text.filter((one) => one !== "" && one === one.toLowerCase());
const optionMap = fc.uniqueArray(fc.tuple(name, text), { selector: ([key]) => key }).map((pairs) => new Map(pairs));
const word = fc.nat(0xffff);
const anyPacket: fc.Arbitrary<TftpPacket> = fc.oneof(
  fc.record({
    type: fc.constantFrom("read" as const, "write" as const),
    file: text.filter((one) => one !== ""),
    mode: text.filter((one) => one === one.toLowerCase()),
    options: optionMap,
  }),
  fc.record({
    type: fc.constant("data" as const),
    block: word,
    bytes: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({ type: fc.constant("ack" as const), block: word }),
  fc.record({ type: fc.constant("error" as const), code: word, message: text }),
  fc.record({ type: fc.constant("oack" as const), options: optionMap.filter((map) => map.size > 0) }),
);

/** The packet, or undefined when decoding refuses as it may. Any other failure is thrown. */
function decodeOrRefuse(bytes: Uint8Array): TftpPacket | undefined {
  try {
    return decodeTftp(bytes);
  } catch (error) {
    if (error instanceof ApplianceError && error.code === "INVALID") return undefined;
    throw error;
  }
}

describe("a TFTP packet", () => {
  it.each(EXAMPLES)("is read and written as on the wire: $what", ({ bytes, packet }) => {
    expect(decodeTftp(bytes)).toEqual(packet);
    expect(encodeTftp(packet)).toEqual(bytes);
  });

  it("survives encoding and decoding", () => {
    fc.assert(
      fc.property(anyPacket, (packet) => {
        expect(decodeTftp(encodeTftp(packet))).toEqual(packet);
      }),
    );
  });

  it.each(EXAMPLES)("is decoded or refused as INVALID when cut at any byte: $what", ({ bytes }) => {
    for (let length = 0; length < bytes.length; length++) decodeOrRefuse(bytes.subarray(0, length));
    expect(decodeOrRefuse(bytes.subarray(0, 3))).toBeUndefined();
  });

  it("is decoded or refused as INVALID, whatever the bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => void decodeOrRefuse(bytes)));
    const requests = fc.tuple(fc.constantFrom(1, 2, 5, 6), fc.uint8Array({ maxLength: 100 }));
    fc.assert(fc.property(requests, ([opcode, rest]) => void decodeOrRefuse(Buffer.from([0, opcode, ...rest]))));
  });

  it("takes option names and modes in any case (RFC 2347, RFC 1350 5)", () => {
    const bytes = Buffer.from("\0\x01a\0OcTeT\0BlkSize\x00512\0TSIZE\x000\0", "latin1");
    expect(decodeTftp(bytes)).toMatchObject({
      mode: "octet",
      options: options(["blksize", "512"], ["tsize", "0"]),
    });
  });

  it("keeps the first of two equal options", () => {
    const bytes = Buffer.from("\0\x01a\0octet\0blksize\x00512\0BLKSIZE\x001024\0", "latin1");
    expect(decodeTftp(bytes)).toMatchObject({ options: options(["blksize", "512"]) });
  });

  it.each([
    ["zeros behind a request", "\0\x01a\0octet\0\0\0\0", { type: "read", file: "a" }],
    ["an ERROR without its final NUL", "\0\x05\0\x00stop", { type: "error", message: "stop" }],
    ["bytes behind an ACK", "\0\x04\0\x05zz", { type: "ack", block: 5 }],
  ])("forgives %s", (_, bytes, packet) => {
    expect(decodeTftp(Buffer.from(bytes, "latin1"))).toMatchObject(packet);
  });

  it.each([
    ["no file name", "\0\x01\0octet\0"],
    ["no mode", "\0\x01file\0"],
    ["an option without value", "\0\x01a\0octet\0blksize\0"],
    ["an unknown opcode", "\0\x07\0\0"],
    ["opcode 0", "\0\0\0\0"],
  ])("is refused: %s", (_, bytes) => {
    expect(() => decodeTftp(Buffer.from(bytes, "latin1"))).toThrow(ApplianceError);
  });

  it("is not written with a NUL inside a text or a number above 16 bits", () => {
    expect(() => encodeTftp({ type: "error", code: 0, message: "a\0b" })).toThrow(ApplianceError);
    expect(() => encodeTftp({ type: "ack", block: 65536 })).toThrow(ApplianceError);
  });

  it("gets its DATA header in front of a payload in place", () => {
    const memory = Buffer.from([9, 9, 9, 9, 9, 42]);
    writeDataHeader(memory, 1, 513);
    expect(decodeTftp(memory.subarray(1))).toEqual({ type: "data", block: 513, bytes: Buffer.from([42]) });
  });
});
