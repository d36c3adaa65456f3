import { type Ipv4, ipv4Bytes } from "../../../values/ipv4.ts";
import { ipv4List } from "./addresses.ts";
import { formatHex } from "./bytes.ts";
import { u16 } from "./numbers.ts";
import { expectLength, malformed, type Shape } from "./shape.ts";
import { decodeText, quote } from "./text.ts";

/** Boot servers of one type (PXE 2.1, table 2-1, tag 8). */
export type BootServers = { type: number; addresses: Ipv4[] };
/** A line of the boot menu (tag 9). */
export type BootMenuItem = { type: number; description: string };
/** What stands above the menu, and for how long (tag 10). 0: take the first item at once; 255: wait for a key. */
export type BootMenuPrompt = { timeoutSeconds: number; prompt: string };
/** The menu item that a client chose, and the layer of its loader that it asks for (tag 71). */
export type BootItem = { type: number; layer: number };
/** The programming interface of the client's network driver (option 94): type 1 is UNDI, then its version. */
export type NetworkInterfaceId = { type: number; major: number; minor: number };

export const bootServers: Shape<BootServers[]> = {
  decode: (bytes, field) =>
    typed(bytes, 4, field, (type, addresses) => ({
      type,
      addresses: addresses.length === 0 ? [] : ipv4List.decode(addresses, field),
    })),
  encode: (list, field) =>
    Buffer.concat(
      list.flatMap(({ type, addresses }) => [typeAndCount(type, addresses.length, field), ...addresses.map(ipv4Bytes)]),
    ),
  format: (list) => list.map(({ type, addresses }) => `${type}: ${addresses.join(" ")}`).join(", "),
};

export const bootMenu: Shape<BootMenuItem[]> = {
  decode: (bytes, field) => typed(bytes, 1, field, (type, name) => ({ type, description: decodeText(name) })),
  encode: (list, field) =>
    Buffer.concat(
      list.flatMap(({ type, description }) => {
        const name = Buffer.from(description, "utf8");
        return [typeAndCount(type, name.length, field), name];
      }),
    ),
  format: (list) => list.map(({ type, description }) => `${type}: ${quote(description)}`).join(", "),
};

export const bootMenuPrompt: Shape<BootMenuPrompt> = {
  decode(bytes, field) {
    if (bytes.length === 0) throw malformed(field, "no timeout");
    return { timeoutSeconds: bytes[0]!, prompt: decodeText(bytes.subarray(1)) };
  },
  encode: ({ timeoutSeconds, prompt }) => Buffer.concat([Uint8Array.of(timeoutSeconds), Buffer.from(prompt, "utf8")]),
  format: ({ timeoutSeconds, prompt }) => `${timeoutSeconds} ${quote(prompt)}`,
};

export const bootItem: Shape<BootItem> = {
  decode(bytes, field) {
    expectLength(bytes, 4, field);
    return { type: u16.decode(bytes.subarray(0, 2), field), layer: u16.decode(bytes.subarray(2), field) };
  },
  encode: ({ type, layer }, field) => Buffer.concat([u16.encode(type, field), u16.encode(layer, field)]),
  format: ({ type, layer }) => `${type} layer ${layer}`,
};

export const networkInterfaceId: Shape<NetworkInterfaceId> = {
  decode(bytes, field) {
    expectLength(bytes, 3, field);
    return { type: bytes[0]!, major: bytes[1]!, minor: bytes[2]! };
  },
  encode: ({ type, major, minor }) => Uint8Array.of(type, major, minor),
  format: ({ type, major, minor }) => `${type} ${major}.${minor}`,
};

/** A machine's UUID (option 97): the 16 bytes behind the type 0, as sent. What their order means is the reader's business. */
export const machineId: Shape<Uint8Array> = {
  decode(bytes, field) {
    expectLength(bytes, 17, field);
    if (bytes[0] !== 0) throw malformed(field, `type ${bytes[0]} is none that PXE knows`);
    return bytes.subarray(1);
  },
  encode(uuid, field) {
    expectLength(uuid, 16, field);
    return Buffer.concat([Uint8Array.of(0), uuid]);
  },
  format: formatHex,
};

/** Records of a 16-bit type, a count of units of `unit` bytes, and these. */
function typed<T>(bytes: Uint8Array, unit: number, field: string, make: (type: number, rest: Uint8Array) => T): T[] {
  const list: T[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const start = offset + 3;
    if (start > bytes.length) throw malformed(field, "an entry is cut short");
    const end = start + bytes[offset + 2]! * unit;
    if (end > bytes.length) throw malformed(field, "an entry is cut short");
    list.push(make(bytes[offset]! * 256 + bytes[offset + 1]!, bytes.subarray(start, end)));
    offset = end;
  }
  return list;
}

function typeAndCount(type: number, count: number, field: string): Uint8Array {
  if (count > 255) throw malformed(field, "an entry has more than 255 parts");
  return Buffer.concat([u16.encode(type, field), Uint8Array.of(count)]);
}
