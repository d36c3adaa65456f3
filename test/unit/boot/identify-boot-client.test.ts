import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BootClient } from "../../../src/boot/boot-client.ts";
import { identifyBootClient } from "../../../src/boot/identify-boot-client.ts";
import { ANY_IPV4 } from "../../../src/values/ipv4.ts";
import type { DhcpMessage } from "../../../src/wire/dhcp/message.ts";

const mac = "52:54:00:12:34:56";

function discover(options: Record<number, Uint8Array | string>): DhcpMessage {
  const bytes = (value: Uint8Array | string) => (typeof value === "string" ? Buffer.from(value, "latin1") : value);
  return {
    op: "request",
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: 1,
    secs: 0,
    broadcast: true,
    ciaddr: ANY_IPV4,
    yiaddr: ANY_IPV4,
    siaddr: ANY_IPV4,
    giaddr: ANY_IPV4,
    chaddr: Buffer.from("525400123456", "hex"),
    sname: "",
    file: "",
    dhcp: true,
    options: new Map(Object.entries(options).map(([code, value]) => [Number(code), bytes(value)])),
  };
}

const architecture = (...numbers: number[]) => Buffer.from(numbers.flatMap((one) => [one >> 8, one & 255]));
/** Option 175 as Debian's iPXE sends it: version and bus id beside the features. */
const features = (...codes: number[]) =>
  Buffer.from([0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0, 0xeb, 3, 1, 0, 0, ...codes.flatMap((code) => [code, 1, 1])]);
const pxe = (arch: string) => `PXEClient:Arch:${arch}:UNDI:003000`;

const cases: [name: string, options: Record<number, Uint8Array | string>, client: Partial<BootClient>][] = [
  ["an OS", { 53: "\x01", 12: "node7" }, { stage: "os" }],
  ["an OS with a vendor class", { 60: "MSFT 5.0" }, { stage: "os", vendorClass: "MSFT 5.0" }],
  ["a BIOS ROM", { 60: pxe("00000"), 93: architecture(0) }, { stage: "firmware", firmware: "bios", architecture: 0 }],
  ["a BIOS ROM without 93", { 60: "PXEClient" }, { stage: "firmware", firmware: "bios", architecture: 0 }],
  [
    "UEFI that tells its architecture in 60 alone",
    { 60: pxe("00007") },
    { stage: "firmware", firmware: "uefi-x64", architecture: 7 },
  ],
  ["UEFI x64, number 7", { 60: pxe("00007"), 93: architecture(7) }, { firmware: "uefi-x64", architecture: 7 }],
  ["UEFI x64, number 9", { 60: pxe("00009"), 93: architecture(9) }, { firmware: "uefi-x64", architecture: 9 }],
  ["UEFI arm64", { 60: pxe("00011"), 93: architecture(11) }, { firmware: "uefi-arm64", architecture: 11 }],
  ["UEFI of 32 bits", { 60: pxe("00006"), 93: architecture(6) }, { stage: "firmware", architecture: 6 }],
  [
    "a list whose second is known",
    { 60: pxe("00006"), 93: architecture(6, 7) },
    { stage: "firmware", firmware: "uefi-x64", architecture: 7 },
  ],
  [
    "UEFI HTTP boot x64",
    { 60: "HTTPClient:Arch:00016:UNDI:003001", 93: architecture(16) },
    { stage: "firmware", firmware: "uefi-http-x64", architecture: 16 },
  ],
  [
    "UEFI HTTP boot arm64",
    { 60: "HTTPClient:Arch:00019:UNDI:003001", 93: architecture(19) },
    { stage: "firmware", firmware: "uefi-http-arm64", architecture: 19 },
  ],
  ["HTTP boot's number from a PXE client", { 60: pxe("00016"), 93: architecture(16) }, { architecture: 16 }],
  [
    "an iPXE with HTTP and iSCSI",
    { 60: pxe("00000"), 77: "iPXE", 93: architecture(0), 175: features(17, 19, 23) },
    { stage: "ipxe", firmware: "bios", architecture: 0, hasHttp: true, hasIscsi: true },
  ],
  [
    "an iPXE without iSCSI",
    { 60: pxe("00007"), 77: "iPXE", 93: architecture(7), 175: features(19) },
    { stage: "ipxe", firmware: "uefi-x64", hasHttp: true, hasIscsi: false },
  ],
  [
    "a feature that is zero",
    { 77: "iPXE", 175: Buffer.from([19, 1, 0, 17, 1, 1]) },
    { hasHttp: false, hasIscsi: true },
  ],
  [
    "an iPXE by user class alone",
    { 60: pxe("00000"), 77: "iPXE" },
    { stage: "ipxe", firmware: "bios", hasHttp: false, hasIscsi: false },
  ],
  ["an iPXE by option 175 alone", { 175: features(17, 19) }, { stage: "ipxe", hasHttp: true, hasIscsi: true }],
  ["RFC 3004's user class", { 60: pxe("00000"), 77: "\x04iPXE" }, { stage: "ipxe", firmware: "bios" }],
  [
    "RFC 3004's user class, second of two",
    { 60: pxe("00000"), 77: "\x03abc\x04iPXE" },
    { stage: "ipxe", firmware: "bios" },
  ],
  [
    "a user class that lies about its length",
    { 60: pxe("00000"), 77: "\x20iPXE" },
    { stage: "firmware", firmware: "bios" },
  ],
  ["an option 175 that is not iPXE's", { 60: pxe("00000"), 175: "abc" }, { stage: "firmware", firmware: "bios" }],
  ["a vendor class with control characters", { 60: "a\x00\x1b[2Jb" }, { stage: "os", vendorClass: "a[2Jb" }],
];

describe("identifyBootClient", () => {
  it.each(cases)("recognises %s", (_name, options, expected) => {
    const client = identifyBootClient(discover(options));
    expect(client).toMatchObject({ mac, ...expected });
    expect(client.firmware).toBe(expected.firmware);
  });

  const uuids: [string, string, string | undefined][] = [
    ["little-endian fields", "00 33221100 5544 7766 8899 aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"],
    ["all zeros", `00${"00".repeat(16)}`, undefined],
    ["all ones", `00${"ff".repeat(16)}`, undefined],
    ["AMI's default", "00 00020003 0004 0005 0006 000700080009", undefined],
    ["AMI's default in the other order", "00 03000200 0400 0500 0006 000700080009", undefined],
    ["Dell's without a service tag", "00 44454c4c 0000 1020 8020 80c04f202020", undefined],
    ["Dell's with one", "00 44454c4c 5100 1034 8051 b5c04f375931", "4c4c4544-0051-3410-8051-b5c04f375931"],
    ["another type", `01${"12".repeat(15)}34`, undefined],
    ["one byte short", `00${"12".repeat(14)}34`, undefined],
    ["an empty option", "", undefined],
  ];
  it.each(uuids)("reads a UUID: %s", (_name, hex, uuid) => {
    const option = Buffer.from(hex.replaceAll(" ", ""), "hex");
    expect(identifyBootClient(discover({ 60: "PXEClient", 97: option })).uuid).toBe(uuid);
  });

  it("never throws, whatever the options hold", () => {
    const options = fc.record(
      { 60: fc.uint8Array(), 77: fc.uint8Array(), 93: fc.uint8Array(), 97: fc.uint8Array(), 175: fc.uint8Array() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(options, (values) => {
        const client = identifyBootClient(discover(values as Record<number, Uint8Array>));
        expect(client.mac).toBe(mac);
        expect(client.vendorClass ?? "").toMatch(/^[\x20-\x7e]{0,64}$/);
      }),
    );
  });
});
