import { malformed, type Shape } from "./shape.ts";
import { quote } from "./text.ts";

/** A name has at most 255 bytes, label lengths and the root's zero included (RFC 1035 2.3.4). */
const MAX_NAME_BYTES = 255;

/**
 * Domain names (RFC 3397) in the form of DNS. Compression pointers are followed when decoding and
 * not made when encoding: a search list is short, and some clients can't follow them.
 */
export const domains: Shape<string[]> = {
  decode(bytes, field) {
    if (bytes.length === 0) throw malformed(field, "no domain");
    const names: string[] = [];
    for (let offset = 0; offset < bytes.length; ) {
      const { name, next } = readName(bytes, offset, field);
      if (name !== "") names.push(name);
      offset = next;
    }
    return names;
  },
  encode(names, field) {
    if (names.length === 0) throw malformed(field, "no domain");
    return Buffer.concat(names.map((name) => nameBytes(name, field)));
  },
  format: (names) => names.map(quote).join(" "),
};

/** The name at `start` and the offset behind it. A pointer must lead to before the name it stands in: no loops. */
function readName(bytes: Uint8Array, start: number, field: string): { name: string; next: number } {
  const labels: string[] = [];
  let next: number | undefined;
  let lowest = start;
  let nameBytes = 1;
  for (let offset = start; ; ) {
    const length = bytes[offset];
    if (length === undefined) throw malformed(field, "a domain name is cut short");
    if (length === 0) return { name: labels.join("."), next: next ?? offset + 1 };
    if (length >= 0xc0) {
      const low = bytes[offset + 1];
      if (low === undefined) throw malformed(field, "a compression pointer is cut short");
      next ??= offset + 2;
      offset = (length & 0x3f) * 256 + low;
      if (offset >= lowest) throw malformed(field, "a compression pointer leads forward");
      lowest = offset;
      continue;
    }
    if (length > 63) throw malformed(field, `a label begins with the reserved bits ${length >> 6}`);
    const end = offset + 1 + length;
    if (end > bytes.length) throw malformed(field, "a label is cut short");
    nameBytes += 1 + length;
    if (nameBytes > MAX_NAME_BYTES) throw malformed(field, "a domain name is longer than 255 bytes");
    labels.push(Buffer.from(bytes.subarray(offset + 1, end)).toString("latin1"));
    offset = end;
  }
}

function nameBytes(name: string, field: string): Uint8Array {
  const labels = name.replace(/\.$/, "").split(".");
  const parts = labels.map((label) => {
    if (!/^[\x21-\x7e]{1,63}$/.test(label)) {
      throw malformed(field, `${quote(name)}: a label has 1 to 63 printable ASCII characters`);
    }
    return Buffer.concat([Uint8Array.of(label.length), Buffer.from(label, "latin1")]);
  });
  const bytes = Buffer.concat([...parts, Uint8Array.of(0)]);
  if (bytes.length > MAX_NAME_BYTES) throw malformed(field, `${quote(name)} is longer than 255 bytes`);
  return bytes;
}
