import { describe, expect, it } from "vitest";
import { decodeDhcp } from "../../../../src/wire/dhcp/decode.ts";
import { dhcpPacket } from "../../../fixtures/dhcp-packets.ts";

/** A request for 52:54:00:12:34:56 with this behind the header. */
function packet(tail: string, header: Record<number, string> = {}): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(236), Buffer.from(tail.replaceAll(" ", ""), "hex")]);
  bytes.set([1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
  bytes.write("525400123456", 28, "hex");
  for (const [offset, hex] of Object.entries(header)) bytes.write(hex, Number(offset), "hex");
  return bytes;
}

const COOKIE = "63825363";
const options = (tail: string, header?: Record<number, string>) =>
  [...decodeDhcp(packet(`${COOKIE}${tail}`, header)).options].map(
    ([code, value]) => `${code}:${Buffer.from(value).toString("hex")}`,
  );

describe("decodeDhcp", () => {
  it.each([
    ["nothing", Buffer.alloc(0), "0 bytes where at least 236 belong"],
    ["a header cut short", packet("").subarray(0, 235), "235 bytes where at least 236 belong"],
    ["an op that is none", packet(COOKIE, { 0: "03" }), "op is 3"],
    ["a hardware address too long", packet(COOKIE, { 2: "11" }), "a hardware address of 17 bytes"],
    ["another cookie", packet("434d5500"), "the magic cookie is 0x434d5500"],
    ["half a cookie", packet("6382"), "the magic cookie is 0x6382"],
    ["an option without length", packet(`${COOKIE} 3501010c`), "hostName (12): its length is missing"],
    ["an option that runs out", packet(`${COOKIE} 0c056162`), "hostName (12): its length says 5 bytes, 2 are there"],
    ["an option that lacks one byte", packet(`${COOKIE} 0c036162`), "its length says 3 bytes, 2 are there"],
    ["an overload of two bytes", packet(`${COOKIE} 34020101 ff`), "overload (52): 2 bytes where 1 belong"],
    ["an overloaded file that runs out", packet(`${COOKIE} 340101 ff`, { 108: "0cff" }), "hostName (12): its length"],
  ])("refuses %s with the reason", (_, bytes, reason) => {
    expect(() => decodeDhcp(bytes)).toThrow(
      expect.objectContaining({ code: "INVALID", message: expect.stringContaining(reason) }),
    );
  });

  it.each([
    ["takes a message without END", "350101", ["53:01"]],
    ["skips PAD wherever it stands", "0000 350101 00 0c0161 00 ff", ["53:01", "12:61"]],
    ["ignores what follows END", "350101 ff 350102 0c", ["53:01"]],
    ["keeps an option that is empty", "5000 ff", ["80:"]],
    ["keeps options that nobody knows, in order", "e00161 350101 fe0162 ff", ["224:61", "53:01", "254:62"]],
    ["joins instances of one option", "0c0161 350101 0c0162 ff", ["12:6162", "53:01"]],
    ["has no options when there is no room for any", "", []],
  ])("%s", (_, tail, expected) => {
    expect(options(tail)).toEqual(expected);
  });

  it.each([
    ["file alone", "01", ["15:0161", "12:66"]],
    ["sname alone", "02", ["15:0161", "12:73"]],
    ["file, then sname", "03", ["15:0161", "12:6673"]],
    ["neither", "00", ["15:0161"]],
  ])("reads overloaded options from %s", (_, overload, expected) => {
    const header = { 108: "0c0166ff0c01", 44: "000c0173ff0c" };
    expect(options(`3401${overload} 0f020161 ff`, header)).toEqual(expected);
  });

  it("does not follow an overload that stands in an overloaded field", () => {
    const message = decodeDhcp(packet(`${COOKIE} 340101 ff`, { 108: "340103ff", 44: "0c0173ff" }));
    expect(message.options.size).toBe(0);
    expect(Buffer.from(message.sname, "latin1").toString("hex")).toBe("0c0173ff");
  });

  it("empties overloaded header fields and keeps the others", () => {
    const message = decodeDhcp(packet(`${COOKIE} 340101 ff`, { 108: "ff6162", 44: "626f6f7400787a" }));
    expect(message).toMatchObject({ file: "", sname: "boot" });
  });

  it("takes a file name that fills its field without a NUL", () => {
    expect(decodeDhcp(packet(`${COOKIE} ff`, { 108: "61".repeat(128) })).file).toBe("a".repeat(128));
  });

  it("takes messages without a cookie as BOOTP, whatever their length", () => {
    for (const tail of ["", "00", "00000000", "00".repeat(64)]) {
      expect(decodeDhcp(packet(tail))).toMatchObject({ dhcp: false, xid: 0xdeadbeef, options: new Map() });
    }
    expect(decodeDhcp(dhcpPacket("constructed-bootp-vendor-reply").bytes).dhcp).toBe(true);
  });

  it("reads the BROADCAST bit alone from the flags", () => {
    expect(decodeDhcp(packet(COOKIE, { 10: "7fff" })).broadcast).toBe(false);
    expect(decodeDhcp(packet(COOKIE, { 10: "8000" })).broadcast).toBe(true);
  });

  it("shares no memory with the datagram", () => {
    const bytes = packet(`${COOKIE} 0c0161 ff`);
    const message = decodeDhcp(bytes);
    bytes.fill(0);
    expect(Buffer.from(message.chaddr).toString("hex")).toBe("525400123456");
    expect(Buffer.from(message.options.get(12)!).toString()).toBe("a");
  });

  it("reads a datagram that is a view into a larger buffer", () => {
    const large = Buffer.concat([Buffer.alloc(7), packet(`${COOKIE} 350101 ff`), Buffer.alloc(9)]);
    expect(decodeDhcp(large.subarray(7, large.length - 9)).xid).toBe(0xdeadbeef);
  });
});
