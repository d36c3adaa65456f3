import { ApplianceError, type ErrorDetails } from "../../errors.ts";
import { ipv4ToNumber } from "../../values/ipv4.ts";
import { FIRMWARE_QUIRKS } from "./firmware-quirks.ts";
import type { DhcpMessage } from "./message.ts";
import { OPTION } from "./options.ts";
import { OVERLOAD, OVERLOADED } from "./overload.ts";
import {
  DEFAULT_MAX_BYTES,
  END,
  FILE_BYTES,
  FILE_OFFSET,
  HEADER_BYTES,
  MAGIC_COOKIE,
  MIN_MESSAGE_BYTES,
  PAD,
  SNAME_BYTES,
  SNAME_OFFSET,
} from "./protocol.ts";
import type { Options } from "./tlv.ts";
import { MAX_CHUNK_BYTES, TlvArea, tlvBytes } from "./tlv-area.ts";

const FIRST: readonly number[] = FIRMWARE_QUIRKS.optionsFirst.codes;
const TERMINATED: readonly number[] = FIRMWARE_QUIRKS.unterminatedFileName.codes;

/**
 * The datagram of a message: at least 300 bytes, at most `maxBytes` of UDP payload (548, which every client
 * takes, if not given; never less than 300). Options 53, 54 and 51 come first, 67 and 82 last, long values are split (RFC 3396),
 * and what doesn't fit goes to `file` and `sname` where these are empty (RFC 2131 4.1). INVALID if it still
 * doesn't fit (`details.option` names the first that didn't), and for texts, hardware addresses or option codes
 * that no message can have.
 */
export function encodeDhcp(message: DhcpMessage, limits: { maxBytes?: number } = {}): Buffer {
  const packet = Buffer.allocUnsafe(Math.max(limits.maxBytes ?? DEFAULT_MAX_BYTES, MIN_MESSAGE_BYTES)).fill(0);
  writeHeader(packet, message);
  if (!message.dhcp) {
    if (message.options.size > 0) throw unfit("plain BOOTP carries no options");
    return packet.subarray(0, MIN_MESSAGE_BYTES);
  }
  packet.writeUInt32BE(MAGIC_COOKIE, HEADER_BYTES);
  return packet.subarray(0, Math.max(writeOptions(packet, message), MIN_MESSAGE_BYTES));
}

function writeHeader(packet: Buffer, message: DhcpMessage): void {
  if (message.hlen > 16 || message.chaddr.length !== message.hlen) {
    throw unfit(`hlen is ${message.hlen}, chaddr has ${message.chaddr.length} bytes`);
  }
  packet[0] = message.op === "request" ? 1 : 2;
  packet[1] = message.htype;
  packet[2] = message.hlen;
  packet[3] = message.hops;
  packet.writeUInt32BE(message.xid, 4);
  packet.writeUInt16BE(message.secs, 8);
  packet.writeUInt16BE(message.broadcast ? 0x8000 : 0, 10);
  packet.writeUInt32BE(ipv4ToNumber(message.ciaddr), 12);
  packet.writeUInt32BE(ipv4ToNumber(message.yiaddr), 16);
  packet.writeUInt32BE(ipv4ToNumber(message.siaddr), 20);
  packet.writeUInt32BE(ipv4ToNumber(message.giaddr), 24);
  packet.set(message.chaddr, 28);
  writeText(packet, "sname", message.sname, SNAME_OFFSET, SNAME_BYTES);
  writeText(packet, "file", message.file, FILE_OFFSET, FILE_BYTES);
}

function writeText(packet: Buffer, field: string, text: string, offset: number, room: number): void {
  if (text === "") return;
  if (!/^[\x01-\xff]*$/.test(text)) throw unfit(`${field} has a NUL or a character beyond Latin-1`);
  if (text.length > room) throw unfit(`${field} has ${text.length} characters, ${room} fit`);
  packet.write(text, offset, "latin1");
}

/** Writes all options and answers the offset behind the options field's END. */
function writeOptions(packet: Buffer, message: DhcpMessage): number {
  const { first, others, relayAgent } = sortOptions(message.options);
  const start = HEADER_BYTES + 4;
  const length = packet.length - start;
  const reserved = size(relayAgent);
  if (reserved >= length) throw noRoom(relayAgent[0]!);
  const overloaded = size(first) + size(others) + reserved + 1 > length;

  const main = new TlvArea(packet, start, length - reserved);
  place(first, [main]);
  const spare = overloaded ? spareAreas(packet, message) : [];
  if (spare.length > 0) place([[OVERLOAD, Uint8Array.of(0)]], [main]);
  const overloadOffset = start + main.used - 1;
  place(others, [main, ...spare.map(({ area }) => area)]);
  for (const { area, bit } of spare) {
    if (area.used === 0) continue;
    area.close();
    packet[overloadOffset]! |= bit;
  }

  // RFC 3046 2.1: relays look for their option at the end of the options field and nowhere else.
  const tail = new TlvArea(packet, start + main.used, length - main.used);
  place(relayAgent, [tail]);
  tail.close();
  return start + main.used + tail.used;
}

type Entry = [code: number, value: Uint8Array];
type SortedOptions = { first: Entry[]; others: Entry[]; relayAgent: Entry[] };

/** Options whose place matters to firmware get it; the others stay in their order. */
function sortOptions(options: Options): SortedOptions {
  const sorted: SortedOptions = { first: [], others: [], relayAgent: [] };
  const terminated: Entry[] = [];
  for (const code of FIRST) {
    const value = options.get(code);
    if (value) sorted.first.push([code, value]);
  }
  for (const entry of options) {
    const [code] = entry;
    const legal = Number.isInteger(code) && code > PAD && code < END && code !== OVERLOAD;
    if (!legal) throw unfit(`a message can't be given option ${code}`);
    if (FIRST.includes(code)) continue;
    if (code === OPTION.relayAgent.code) sorted.relayAgent.push(entry);
    else if (TERMINATED.includes(code)) terminated.push(entry);
    else sorted.others.push(entry);
  }
  sorted.others.push(...terminated);
  return sorted;
}

function size(entries: Entry[]): number {
  return entries.reduce((sum, [code, value]) => sum + entryBytes(code, value), 0);
}

function entryBytes(code: number, value: Uint8Array): number {
  return tlvBytes(value) + (TERMINATED.includes(code) ? 1 : 0);
}

/** The header fields that may hold options, in the order in which receivers join them (RFC 3396 5). */
function spareAreas(packet: Buffer, message: DhcpMessage): { area: TlvArea; bit: number }[] {
  const file = { area: new TlvArea(packet, FILE_OFFSET, FILE_BYTES), bit: OVERLOADED.file };
  const sname = { area: new TlvArea(packet, SNAME_OFFSET, SNAME_BYTES), bit: OVERLOADED.sname };
  return [...(message.file === "" ? [file] : []), ...(message.sname === "" ? [sname] : [])];
}

/**
 * Puts each option into the first area that takes it whole. Only one that must be split anyway is spread over
 * several: few clients join what RFC 3396 lets us split.
 */
function place(entries: Entry[], areas: TlvArea[]): void {
  for (const [code, value] of entries) {
    const bytes = entryBytes(code, value);
    const whole = areas.find((area) => area.room >= bytes);
    if (whole) whole.put(code, value);
    else if (!spread(code, value, areas)) throw noRoom([code, value]);
    if (TERMINATED.includes(code)) (whole ?? areas.at(-1))?.pad();
  }
}

function spread(code: number, value: Uint8Array, areas: TlvArea[]): boolean {
  if (value.length <= MAX_CHUNK_BYTES) return false;
  let left = value;
  for (const area of areas) if (left.length > 0) left = left.subarray(area.put(code, left));
  return left.length === 0;
}

function noRoom([option, value]: Entry): ApplianceError {
  return unfit(`no room for option ${option} of ${value.length} bytes`, { option });
}

function unfit(reason: string, details: ErrorDetails = {}): ApplianceError {
  return new ApplianceError("INVALID", `can't encode a DHCP message: ${reason}`, { details });
}
