import { expectGroups, expectLength, malformed, type Shape } from "./shape.ts";

/** An unsigned number of 1, 2 or 4 bytes, network order. */
function unsigned(size: 1 | 2 | 4): Shape<number> {
  return {
    decode(bytes, field) {
      expectLength(bytes, size, field);
      return readUnsigned(bytes, 0, size);
    },
    encode: (value, field) => unsignedBytes(value, size, field),
    format: String,
  };
}

/** One or more unsigned numbers of `size` bytes. */
function unsignedList(size: 1 | 2): Shape<number[]> {
  return {
    decode(bytes, field) {
      expectGroups(bytes, size, field);
      return Array.from({ length: bytes.length / size }, (_, index) => readUnsigned(bytes, index * size, size));
    },
    encode(values, field) {
      if (values.length === 0) throw malformed(field, "a list can't be empty");
      return Buffer.concat(values.map((value) => unsignedBytes(value, size, field)));
    },
    format: (values) => values.join(" "),
  };
}

export const u8 = unsigned(1);
export const u16 = unsigned(2);
export const u32 = unsigned(4);
export const u8List = unsignedList(1);
export const u16List = unsignedList(2);

/** A signed byte: iPXE's priority. */
export const i8: Shape<number> = {
  decode: (bytes, field) => (u8.decode(bytes, field) << 24) >> 24,
  encode(value, field) {
    if (value < -128 || value > 127) throw malformed(field, `${value} doesn't fit a signed byte`);
    return unsignedBytes(value & 0xff, 1, field);
  },
  format: String,
};

/** A signed number of 4 bytes: the time offset. */
export const i32: Shape<number> = {
  decode: (bytes, field) => u32.decode(bytes, field) | 0,
  encode(value, field) {
    if ((value | 0) !== value) throw malformed(field, `${value} doesn't fit 4 signed bytes`);
    return unsignedBytes(value >>> 0, 4, field);
  },
  format: String,
};

/** One byte that says no (0) or yes (anything else; 1 when encoded). */
export const flag: Shape<boolean> = {
  decode: (bytes, field) => u8.decode(bytes, field) !== 0,
  encode: (value) => Uint8Array.of(value ? 1 : 0),
  format: (value) => (value ? "yes" : "no"),
};

/** An option without a value, which is there or not. */
export const presence: Shape<true> = {
  decode(bytes, field) {
    expectLength(bytes, 0, field);
    return true;
  },
  encode: () => new Uint8Array(),
  format: () => "present",
};

function readUnsigned(bytes: Uint8Array, offset: number, size: number): number {
  let value = 0;
  for (let index = 0; index < size; index++) value = value * 256 + bytes[offset + index]!;
  return value;
}

function unsignedBytes(value: number, size: number, field: string): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= 256 ** size) {
    throw malformed(field, `${value} doesn't fit ${size} unsigned bytes`);
  }
  const bytes = new Uint8Array(size);
  for (let index = size - 1, left = value; index >= 0; index--, left = Math.floor(left / 256))
    bytes[index] = left & 255;
  return bytes;
}
