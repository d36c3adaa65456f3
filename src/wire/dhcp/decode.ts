import { ApplianceError } from "../../errors.ts";
import { type Ipv4, ipv4FromBytes } from "../../values/ipv4.ts";
import type { DhcpMessage } from "./message.ts";
import { OPTION_BY_CODE } from "./options.ts";
import { OVERLOAD, OVERLOADED } from "./overload.ts";
import { FILE_BYTES, FILE_OFFSET, HEADER_BYTES, MAGIC_COOKIE, SNAME_BYTES, SNAME_OFFSET } from "./protocol.ts";
import { expectLength } from "./shapes/shape.ts";
import { type Options, TlvCollector } from "./tlv.ts";

/**
 * The message that a datagram holds; its values share no memory with `datagram`. INVALID, with the reason, for
 * anything else. Taken as firmware sends it: END may be missing, anything may follow it, and a message
 * without the magic cookie is plain BOOTP.
 */
export function decodeDhcp(datagram: Uint8Array): DhcpMessage {
  // one copy that all values share; and views of a plain array are made faster than those of a Buffer
  const bytes = new Uint8Array(datagram);
  if (bytes.length < HEADER_BYTES) throw garbage(`${bytes.length} bytes where at least ${HEADER_BYTES} belong`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const op = bytes[0];
  if (op !== 1 && op !== 2) throw garbage(`op is ${op}, neither 1 (request) nor 2 (reply)`);
  const hlen = bytes[2]!;
  if (hlen > 16) throw garbage(`a hardware address of ${hlen} bytes`);
  const address = (offset: number): Ipv4 => ipv4FromBytes(bytes, offset);

  const dhcp = hasCookie(bytes);
  const sname = bytes.subarray(SNAME_OFFSET, SNAME_OFFSET + SNAME_BYTES);
  const file = bytes.subarray(FILE_OFFSET, FILE_OFFSET + FILE_BYTES);
  const { options, overload } = dhcp
    ? readOptions(bytes.subarray(HEADER_BYTES + 4), file, sname)
    : { options: new Map(), overload: 0 };
  return {
    op: op === 1 ? "request" : "reply",
    htype: bytes[1]!,
    hlen,
    hops: bytes[3]!,
    xid: view.getUint32(4),
    secs: view.getUint16(8),
    broadcast: (view.getUint16(10) & 0x8000) !== 0,
    ciaddr: address(12),
    yiaddr: address(16),
    siaddr: address(20),
    giaddr: address(24),
    chaddr: bytes.subarray(28, 28 + hlen),
    sname: overload & OVERLOADED.sname ? "" : untilNul(sname),
    file: overload & OVERLOADED.file ? "" : untilNul(file),
    dhcp,
    options,
  };
}

const COOKIE = Buffer.from(MAGIC_COOKIE.toString(16), "hex");

/** False for BOOTP without vendor information (RFC 951: zeros, or nothing at all). */
function hasCookie(bytes: Uint8Array): boolean {
  const cookie = bytes.subarray(HEADER_BYTES, HEADER_BYTES + 4);
  if (COOKIE.equals(cookie)) return true;
  if (cookie.every((byte) => byte === 0)) return false;
  throw garbage(`the magic cookie is 0x${Buffer.from(cookie).toString("hex")}`);
}

/** RFC 3396 5: the options field first, then file, then sname; option 52 in the first one counts alone. */
function readOptions(area: Uint8Array, file: Uint8Array, sname: Uint8Array): { options: Options; overload: number } {
  const collector = new TlvCollector();
  const label = (code: number) => OPTION_BY_CODE.get(code)?.label ?? String(code);
  collector.read(area, true, label);
  const value = collector.take(OVERLOAD);
  if (value) expectLength(value, 1, "overload (52)");
  const overload = value?.[0] ?? 0;
  if (overload & OVERLOADED.file) collector.read(file, true, label);
  if (overload & OVERLOADED.sname) collector.read(sname, true, label);
  collector.take(OVERLOAD);
  return { options: collector.options(), overload };
}

/** One character per byte, so that encoding gives the same bytes again. */
function untilNul(field: Uint8Array): string {
  const end = field.indexOf(0);
  if (end === 0) return "";
  return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString("latin1");
}

function garbage(reason: string): ApplianceError {
  return new ApplianceError("INVALID", `not a DHCP message: ${reason}`);
}
