import { describe, expect, it } from "vitest";
import { parseIpv4 } from "../../../../src/values/ipv4.ts";
import { IPXE_OPTION } from "../../../../src/wire/dhcp/ipxe-options.ts";
import { MESSAGE_TYPE } from "../../../../src/wire/dhcp/message-type.ts";
import { type Option, readOption, tryReadOption, writeOption } from "../../../../src/wire/dhcp/option.ts";
import { OPTION, OPTION_BY_CODE } from "../../../../src/wire/dhcp/options.ts";
import { PXE_OPTION } from "../../../../src/wire/dhcp/pxe-options.ts";
import { RELAY_OPTION } from "../../../../src/wire/dhcp/relay-options.ts";
import type { Options } from "../../../../src/wire/dhcp/tlv.ts";

const a = parseIpv4("10.20.0.1");
const b = parseIpv4("10.20.0.2");
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
const ascii = (text: string) => Buffer.from(text, "latin1").toString("hex");
const route = (network: string, prefix: number) => ({
  destination: { network: parseIpv4(network), prefix },
  router: a,
});

/** An option, a value, its bytes, and how it is shown. */
type Row = [option: Option<unknown>, value: unknown, hex: string, text: string];

const BOTH_WAYS: Row[] = [
  [OPTION.subnetMask, parseIpv4("255.255.255.0"), "ffffff00", "255.255.255.0"],
  [OPTION.router, [a, b], "0a140001 0a140002", "10.20.0.1 10.20.0.2"],
  [OPTION.timeOffsetSeconds, -3600, "fffff1f0", "-3600"],
  [OPTION.leaseSeconds, 0xffffffff, "ffffffff", "4294967295"],
  [OPTION.mtu, 9000, "2328", "9000"],
  [OPTION.messageType, MESSAGE_TYPE.nak, "06", "nak"],
  [OPTION.parameterRequestList, [1, 3, 175], "0103af", "1 3 175"],
  [OPTION.clientArchitecture, [7, 16], "0007 0010", "7 16"],
  [OPTION.clientId, bytes("01525400123456"), "01525400123456", "0x01525400123456"],
  [OPTION.rapidCommit, true, "", "present"],
  [OPTION.hostName, "node7", ascii("node7"), '"node7"'],
  [OPTION.hostName, "käse", "6bc3a47365", '"k\\u00e4se"'],
  [OPTION.message, 'a"\u001b[2J\n', "6122 1b5b324a 0a", '"a\\"\\u001b[2J\\n"'],
  [OPTION.userClass, ["iPXE", "lab"], `04${ascii("iPXE")}03${ascii("lab")}`, '"iPXE" "lab"'],
  [OPTION.domainSearch, ["lab.example", "b"], "036c6162 076578616d706c65 00 0162 00", '"lab.example" "b"'],
  [OPTION.classlessRoutes, [route("0.0.0.0", 0)], "00 0a140001", "0.0.0.0/0 via 10.20.0.1"],
  [OPTION.classlessRoutes, [route("10.0.0.0", 8)], "08 0a 0a140001", "10.0.0.0/8 via 10.20.0.1"],
  [
    OPTION.classlessRoutes,
    [route("10.17.0.0", 16), route("10.229.0.128", 25)],
    "10 0a11 0a140001 19 0ae50080 0a140001",
    "10.17.0.0/16 via 10.20.0.1, 10.229.0.128/25 via 10.20.0.1",
  ],
  [OPTION.classlessRoutes, [route("10.1.2.3", 32)], "20 0a010203 0a140001", "10.1.2.3/32 via 10.20.0.1"],
  [OPTION.networkInterfaceId, { type: 1, major: 3, minor: 16 }, "010310", "1 3.16"],
  [
    OPTION.machineId,
    bytes("44454c4c330010358056b8c04f4d3532"),
    "00 44454c4c330010358056b8c04f4d3532",
    "0x44454c4c330010358056b8c04f4d3532",
  ],
  [
    PXE_OPTION.bootServers,
    [
      { type: 1, addresses: [a, b] },
      { type: 0x8000, addresses: [] },
    ],
    "0001 02 0a140001 0a140002 8000 00",
    "1: 10.20.0.1 10.20.0.2, 32768: ",
  ],
  [PXE_OPTION.bootMenu, [{ type: 0, description: "Local" }], `0000 05 ${ascii("Local")}`, '0: "Local"'],
  [PXE_OPTION.bootMenuPrompt, { timeoutSeconds: 5, prompt: "F8" }, `05 ${ascii("F8")}`, '5 "F8"'],
  [PXE_OPTION.bootItem, { type: 1, layer: 2 }, "0001 0002", "1 layer 2"],
  [IPXE_OPTION.priority, -1, "ff", "-1"],
  [IPXE_OPTION.keepSan, true, "01", "yes"],
  [IPXE_OPTION.noPxeDhcp, false, "00", "no"],
  [IPXE_OPTION.password, bytes("736563726574"), "736563726574", "(secret)"],
  [OPTION.vendorSpecific, new Map([[6, bytes("08")]]), "06 01 08 ff", "{ 6 discoveryControl 8 }"],
  [
    OPTION.ipxe,
    new Map([
      [176, bytes("01")],
      [200, bytes("02")],
    ]),
    "b00101 c80102 ff",
    "{ 176 noPxeDhcp yes, 200 0x02 }",
  ],
  [
    OPTION.relayAgent,
    new Map([
      [0, bytes("61")],
      [5, bytes("0a140001")],
      [255, bytes("")],
    ]),
    "000161 05040a140001 ff00",
    "{ 0 0x61, 5 linkSelection 10.20.0.1, 255 empty }",
  ],
];

describe("known options", () => {
  it("have one code each", () => {
    for (const table of [OPTION, PXE_OPTION, IPXE_OPTION, RELAY_OPTION]) {
      const codes = Object.values(table).map(({ code }) => code);
      expect(new Set(codes).size).toBe(codes.length);
    }
    expect(OPTION_BY_CODE.get(54)?.name).toBe("serverId");
  });

  it.each(BOTH_WAYS.map((row) => [row[0].label, ...row] as const))(
    "%s is read, written and shown",
    (_, option, value, hex, text) => {
      const options: Options = new Map([[option.code, bytes(hex)]]);
      expect(readOption(options, option)).toEqual(value);
      const written: Options = new Map();
      writeOption(written, option, value);
      expect(Buffer.from(written.get(option.code)!).toString("hex")).toBe(hex.replaceAll(" ", ""));
      expect(option.shape.format(value)).toBe(text);
    },
  );

  it.each<[string, Option<unknown>, string, unknown]>([
    ["text with NULs behind it", OPTION.bootFileName, `${ascii("a/b")}0000`, "a/b"],
    ["text that is no UTF-8", OPTION.hostName, "636166e9", "café"],
    ["an empty text", OPTION.hostName, "", ""],
    ["iPXE's bare user class", OPTION.userClass, ascii("iPXE"), ["iPXE"]],
    ["a bare user class that begins like a length", OPTION.userClass, `02${ascii("abc")}`, ["\u0002abc"]],
    ["a bare user class that ends like an empty one", OPTION.userClass, "016100", ["\u0001a"]],
    [
      "a name behind a pointer to a pointer",
      OPTION.domainSearch,
      "016100 0162c000 0163c003 016400",
      ["a", "b.a", "c.b.a", "d"],
    ],
    ["flags other than 0 and 1", IPXE_OPTION.noPxeDhcp, "ff", true],
    [
      "a domain list with compression",
      OPTION.domainSearch,
      "036c6162 076578616d706c65 00 0362656e c004 c000",
      ["lab.example", "ben.example", "lab.example"],
    ],
    [
      "a route with bits behind its prefix",
      OPTION.classlessRoutes,
      "19 81d2b184 0a140001",
      [route("129.210.177.128", 25)],
    ],
    ["sub-options with PAD, without END", OPTION.vendorSpecific, "00 060108 00", new Map([[6, bytes("08")]])],
    ["sub-options behind END", OPTION.ipxe, "b00101 ff 1301", new Map([[176, bytes("01")]])],
  ] as [string, Option<unknown>, string, unknown][])("takes %s", (_, option, hex, value) => {
    expect(readOption(new Map([[option.code, bytes(hex)]]), option)).toEqual(value);
  });

  it.each([
    [OPTION.subnetMask, "ffffff", "3 bytes where 4 belong"],
    [OPTION.router, "", "0 bytes aren't one or more groups of 4"],
    [OPTION.router, "0a14000102", "5 bytes aren't one or more groups of 4"],
    [OPTION.leaseSeconds, "0001", "2 bytes where 4 belong"],
    [OPTION.messageType, "00", "0 is no message type"],
    [OPTION.clientArchitecture, "07", "1 bytes aren't one or more groups of 2"],
    [OPTION.rapidCommit, "01", "1 bytes where 0 belong"],
    [OPTION.userClass, "", "no class"],
    [OPTION.machineId, "00", "1 bytes where 17 belong"],
    [OPTION.machineId, "ff".repeat(17), "type 255 is none that PXE knows"],
    [OPTION.domainSearch, "", "no domain"],
    [OPTION.domainSearch, "0361", "a label is cut short"],
    [OPTION.domainSearch, "0161", "a domain name is cut short"],
    [OPTION.domainSearch, "0161c0", "a compression pointer is cut short"],
    [OPTION.domainSearch, "c000", "a compression pointer leads forward"],
    [OPTION.domainSearch, "0161c003 0162c000", "a compression pointer leads forward"],
    [OPTION.domainSearch, "03c0016100 c001", "a compression pointer leads forward"],
    [OPTION.domainSearch, "4061", "a label begins with the reserved bits 1"],
    [OPTION.domainSearch, `${`3f${"61".repeat(63)}`.repeat(4)}00`, "a domain name is longer than 255 bytes"],
    [OPTION.classlessRoutes, "", "no route"],
    [OPTION.classlessRoutes, "21 0a000000 0a140001 00", "33 is no prefix length"],
    [OPTION.classlessRoutes, "08 0a 0a1400", "a route is cut short"],
    [OPTION.vendorSpecific, "0a05 01", "sub-option bootMenuPrompt (10): its length says 5 bytes, 1 are there"],
    [OPTION.relayAgent, "0104", "sub-option circuitId (1): its length says 4 bytes, 0 are there"],
    [PXE_OPTION.bootServers, "0001 02 0a140001", "an entry is cut short"],
    [PXE_OPTION.bootMenu, "0001", "an entry is cut short"],
  ] as [Option<unknown>, string, string][])("$label refuses %s with its name and the reason", (option, hex, reason) => {
    const options = new Map([[option.code, bytes(hex)]]);
    expect(() => readOption(options, option)).toThrow(
      expect.objectContaining({
        code: "INVALID",
        message: expect.stringMatching(new RegExp(`^DHCP option ${option.name} \\(${option.code}\\)[:,] `)),
      }),
    );
    expect(() => readOption(options, option)).toThrow(reason);
    expect(tryReadOption(options, option)).toBeUndefined();
  });

  it.each<[Option<unknown>, unknown, string]>([
    [OPTION.mtu, 65536, "65536 doesn't fit 2 unsigned bytes"],
    [OPTION.leaseSeconds, 1.5, "1.5 doesn't fit 4 unsigned bytes"],
    [OPTION.leaseSeconds, -1, "-1 doesn't fit 4 unsigned bytes"],
    [OPTION.timeOffsetSeconds, 2 ** 31, "doesn't fit 4 signed bytes"],
    [IPXE_OPTION.priority, 128, "128 doesn't fit a signed byte"],
    [OPTION.router, [], "a list can't be empty"],
    [OPTION.domainSearch, ["a..b"], "a label has 1 to 63 printable ASCII characters"],
    [OPTION.domainSearch, [`${"a.".repeat(127)}ab`], "is longer than 255 bytes"],
    [OPTION.userClass, [""], "a class has 1 to 255 bytes"],
    [OPTION.classlessRoutes, [route("10.0.0.0", 33)], "33 is no prefix length"],
    [OPTION.ipxe, new Map([[255, bytes("01")]]), "255 is no code of a sub-option"],
    [OPTION.relayAgent, new Map([[1, new Uint8Array(256)]]), "sub-option 1 has more than 255 bytes"],
  ])("$label can't be written as %o", (option, value, reason) => {
    const options: Options = new Map();
    expect(() => writeOption(options, option, value)).toThrow(expect.objectContaining({ code: "INVALID" }));
    expect(() => writeOption(options, option, value)).toThrow(reason);
    expect(options.size).toBe(0);
  });

  it("answers undefined for what isn't there", () => {
    expect(readOption(new Map(), OPTION.router)).toBeUndefined();
    expect(tryReadOption(new Map(), OPTION.router)).toBeUndefined();
  });
});
