import { describe, expect, it } from "vitest";
import { ANY_IPV4, parseIpv4 } from "../../../../src/values/ipv4.ts";
import { decodeDhcp } from "../../../../src/wire/dhcp/decode.ts";
import { encodeDhcp } from "../../../../src/wire/dhcp/encode.ts";
import type { DhcpMessage } from "../../../../src/wire/dhcp/message.ts";

function message(options: [number, Uint8Array][], fields: Partial<DhcpMessage> = {}): DhcpMessage {
  return {
    op: "reply",
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: 0x01020304,
    secs: 5,
    broadcast: true,
    ciaddr: ANY_IPV4,
    yiaddr: parseIpv4("10.20.0.50"),
    siaddr: parseIpv4("10.20.0.1"),
    giaddr: parseIpv4("10.30.0.1"),
    chaddr: Uint8Array.of(0x52, 0x54, 0, 1, 2, 3),
    sname: "",
    file: "",
    dhcp: true,
    options: new Map(options),
    ...fields,
  };
}

const value = (length: number, fill = 0x61) => new Uint8Array(length).fill(fill);

/** Codes and lengths in the options field, in wire order, up to END. */
function layout(bytes: Uint8Array, offset = 240): string[] {
  const found: string[] = [];
  while (bytes[offset] !== 255) {
    expect(offset).toBeLessThan(bytes.length);
    found.push(`${bytes[offset]}:${bytes[offset + 1]}`);
    offset += 2 + bytes[offset + 1]!;
  }
  return found;
}

describe("encodeDhcp", () => {
  it("writes the header where RFC 2131 has it", () => {
    const bytes = encodeDhcp(message([], { sname: "boot", file: "a/b" }));
    expect(bytes.subarray(0, 44).toString("hex")).toBe(
      "0201060001020304000580000000000 00a1400320a1400010a1e0001525400010203".replace(" ", "") + "00".repeat(10),
    );
    expect(bytes.toString("latin1", 44, 49)).toBe("boot\0");
    expect(bytes.toString("latin1", 108, 112)).toBe("a/b\0");
    expect(bytes.toString("hex", 236, 241)).toBe("63825363ff");
  });

  it("is never shorter than 300 bytes, DHCP or BOOTP", () => {
    expect(encodeDhcp(message([])).length).toBe(300);
    expect(encodeDhcp(message([], { dhcp: false })).length).toBe(300);
    expect(encodeDhcp(message([]), { maxBytes: 10 }).length).toBe(300);
  });

  it("puts the message type first and the relay agent option last", () => {
    const bytes = encodeDhcp(
      message([
        [82, value(4)],
        [51, value(4)],
        [53, value(1)],
        [1, value(4)],
      ]),
    );
    expect(layout(bytes)).toEqual(["53:1", "51:4", "1:4", "82:4"]);
  });

  it.each([
    [255, ["17:255"]],
    [256, ["17:255", "17:1"]],
    [510, ["17:255", "17:255"]],
    [0, ["17:0"]],
  ])("splits a value of %i bytes as RFC 3396 has it", (length, expected) => {
    expect(layout(encodeDhcp(message([[17, value(length)]]), { maxBytes: 1472 }))).toEqual(expected);
  });

  it("does not overload what fits to the last byte", () => {
    // 548 less header, cookie and END leaves 307: 255 + 2, 48 + 2.
    const options: [number, Uint8Array][] = [
      [17, value(255)],
      [15, value(48)],
    ];
    const bytes = encodeDhcp(message(options));
    expect(bytes.length).toBe(548);
    expect(layout(bytes)).toEqual(["17:255", "15:48"]);
  });

  it("overloads as soon as END alone does not fit", () => {
    const bytes = encodeDhcp(
      message([
        [17, value(255)],
        [15, value(49)],
      ]),
    );
    expect(layout(bytes)).toEqual(["52:1", "17:255"]);
    expect(layout(bytes, 108)).toEqual(["15:49"]);
  });

  it("overloads file, then sname, with whole options when the options field is full", () => {
    const options: [number, Uint8Array][] = [
      [53, value(1)],
      [17, value(255)],
      [15, value(100)],
      [12, value(40)],
      [82, value(20)],
    ];
    const bytes = encodeDhcp(message(options));
    expect(layout(bytes)).toEqual(["53:1", "52:1", "17:255", "82:20"]);
    expect(bytes[245]).toBe(3);
    expect(layout(bytes, 108)).toEqual(["15:100"]);
    expect(layout(bytes, 44)).toEqual(["12:40"]);
    expect(decodeDhcp(bytes)).toEqual(message(options));
  });

  it("names in the overload only the field that it used", () => {
    const bytes = encodeDhcp(
      message([
        [17, value(255)],
        [15, value(60)],
      ]),
    );
    expect(bytes.subarray(240, 243)).toEqual(Buffer.from([52, 1, 1]));
    expect(bytes.subarray(44, 108).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ["file", { file: "undionly.kpxe" }, 2],
    ["sname", { sname: "ingot" }, 1],
  ])("leaves %s alone when the message needs it", (field, fields, overload) => {
    const original = message(
      [
        [17, value(255)],
        [15, value(50)],
      ],
      fields,
    );
    const bytes = encodeDhcp(original);
    expect(bytes[242]).toBe(overload);
    expect(decodeDhcp(bytes)).toEqual(original);
    expect(decodeDhcp(bytes)).toHaveProperty(field, Object.values(fields)[0]);
  });

  it("spreads a value that must be split over all three fields, in the order in which receivers join", () => {
    const long = Uint8Array.from({ length: 470 }, (_, index) => index % 251);
    const original = message([[121, long]]);
    const bytes = encodeDhcp(original);
    expect(layout(bytes, 108)).toEqual(["121:125"]);
    expect(decodeDhcp(bytes)).toEqual(original);
  });

  it("spreads a value over no more fields than it needs", () => {
    const bytes = encodeDhcp(message([[121, value(400)]]));
    expect(layout(bytes)).toEqual(["52:1", "121:255", "121:45"]);
    expect(layout(bytes, 108)).toEqual(["121:100"]);
    expect(bytes[242]).toBe(1);
  });

  it.each([
    [
      "more than all fields hold",
      message([
        [17, value(255)],
        [18, value(200)],
      ]),
      "no room for option 18 of 200 bytes",
    ],
    [
      "a long value with no field to overload",
      message([[17, value(306)]], { file: "f", sname: "s" }),
      "no room for option 17",
    ],
    ["a relay agent option too long", message([[82, value(400)]]), "no room for option 82"],
    ["options in plain BOOTP", message([[12, value(1)]], { dhcp: false }), "plain BOOTP carries no options"],
    ["PAD as an option", message([[0, value(1)]]), "can't be given option 0"],
    ["END as an option", message([[255, value(1)]]), "can't be given option 255"],
    ["an overload of the caller's", message([[52, value(1)]]), "can't be given option 52"],
    ["a file name too long", message([], { file: "a".repeat(129) }), "file has 129 characters, 128 fit"],
    ["a server name with a NUL", message([], { sname: "a\0b" }), "sname has a NUL"],
    ["a file name beyond Latin-1", message([], { file: "\u2713" }), "file has a NUL or a character beyond Latin-1"],
    ["a hardware address of another length", message([], { hlen: 5 }), "hlen is 5, chaddr has 6 bytes"],
  ])("refuses %s", (_, unfit, reason) => {
    expect(() => encodeDhcp(unfit)).toThrow(
      expect.objectContaining({ code: "INVALID", message: expect.stringContaining(reason) }),
    );
  });
});
