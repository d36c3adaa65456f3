/**
 * One packet for each row of FIRMWARE_QUIRKS: the firmware's request as bytes, our answer as bytes, read the way that
 * firmware reads it, mistakes included.
 */
import { describe, expect, it } from "vitest";
import type { BootDecision } from "../../../src/boot/boot-decision.ts";
import { decideBoot } from "../../../src/boot/decide-boot.ts";
import { identifyBootClient } from "../../../src/boot/identify-boot-client.ts";
import { answerBootServer, answerProxy, type ProxySite } from "../../../src/dhcp/proxy.ts";
import { encodeReply } from "../../../src/dhcp/reply.ts";
import { decodeDhcp } from "../../../src/wire/dhcp/decode.ts";
import { FIRMWARE_QUIRKS, type FirmwareQuirk } from "../../../src/wire/dhcp/firmware-quirks.ts";
import { readOption, tryReadOption } from "../../../src/wire/dhcp/option.ts";
import { OPTION } from "../../../src/wire/dhcp/options.ts";
import { PXE_OPTION } from "../../../src/wire/dhcp/pxe-options.ts";
import { dhcpPacket } from "../../fixtures/dhcp-packets.ts";
import { bootEntry } from "../boot/boot-fixtures.ts";
import { rack } from "../leases/world.ts";
import { dhcpWorld } from "./world.ts";

const OPTIONS_AT = 240;
const [PAD, END] = [0, 255];
const FILE = "snponly.efi";
const tftp: BootDecision = { kind: "loader", file: FILE, protocol: "tftp" };
const http: BootDecision = { kind: "loader", file: FILE, protocol: "http" };

const message = (name: string) => decodeDhcp(dhcpPacket(name).bytes);
const client = (name: string) => identifyBootClient(message(name));

/** The datagram that answers a captured request. */
async function answer(name: string, decision: BootDecision): Promise<Buffer> {
  const world = dhcpWorld();
  world.policy.decision = decision;
  const asked = message(name);
  return encodeReply(asked, (await world.ask(asked)).reply!);
}

/** A proxy that answers everybody so. */
function proxySite(decision: BootDecision): ProxySite {
  const { network, site } = dhcpWorld();
  const tokens = { issue: () => "token", fits: () => true };
  return { network, answers: { ...site.answers, answer: () => decision }, isNode: () => true, tokens };
}

type Raw = { code: number; at: number; length: number };

/** The options as they lie there; `padHasLength` reads a PAD as any other option, as old U-Boot does. */
function* walk(bytes: Buffer, padHasLength = false): Generator<Raw> {
  for (let at = OPTIONS_AT; at < bytes.length && bytes[at] !== END; ) {
    const code = bytes[at]!;
    const length = code === PAD && !padHasLength ? -1 : bytes[at + 1]!;
    if (length >= 0) yield { code, at: at + 2, length };
    at += length + 2;
  }
}
const codes = (bytes: Buffer) => [...walk(bytes)].map(({ code }) => code);
/** A text up to its NUL, whatever length is told. */
const cText = (bytes: Buffer, at: number) => bytes.toString("latin1", at, bytes.indexOf(0, at));
const value = (bytes: Buffer, code: number) => {
  const found = [...walk(bytes)].find((one) => one.code === code);
  return found && bytes.subarray(found.at, found.at + found.length);
};
const text = (bytes: Buffer, code: number) => value(bytes, code)?.toString("latin1");
const address = (bytes: Buffer, at: number) => [...bytes.subarray(at, at + 4)].join(".");

/** What EDK2 makes of an offer: it boots its file, shows its menu, or asks port 4011 for the rest. */
function edk2(bytes: Buffer): "file" | "menu" | "asks 4011" | "passes over" {
  if (!text(bytes, 60)?.startsWith("PXEClient")) return text(bytes, 67) === undefined ? "passes over" : "file";
  const control = value(value(bytes, 43) ? nested(value(bytes, 43)!) : Buffer.alloc(OPTIONS_AT), 6)?.[0];
  if (control === undefined) return "asks 4011";
  return (control & 8) !== 0 && text(bytes, 67) !== undefined ? "file" : "menu";
}
/** The options inside an option, where `walk` looks for options. */
const nested = (inner: Buffer) => Buffer.concat([Buffer.alloc(OPTIONS_AT), inner]);

const tests: Record<keyof typeof FIRMWARE_QUIRKS, () => Promise<void> | void> = {
  optionsFirst: async () => {
    const asked = message("constructed-windows-discover");
    const { reply } = await dhcpWorld().ask(asked);
    const turned = { ...reply!, options: new Map([...reply!.options].reverse()) };
    expect(codes(encodeReply(asked, turned)).slice(0, 3)).toEqual([53, 54, 51]);
  },

  unterminatedFileName: async () => {
    const bytes = await answer("ovmf-pxe-discover", tftp);
    const { at, length } = [...walk(bytes)].find(({ code }) => code === 67)!;
    expect([cText(bytes, at), length]).toEqual([FILE, FILE.length]);
    // EDK2 writes its NUL behind the option: what stood there is lost
    bytes[at + length] = 0;
    expect(text(bytes, 97)).toHaveLength(17);
    expect(bytes.indexOf(END, at)).toBe(at + length + 1);
  },

  padAmongOptions: async () => {
    const bytes = await answer("constructed-uboot-arm64-discover", tftp);
    const seen = [...walk(bytes, true)].filter(({ code }) => code !== PAD).map(({ code }) => code);
    expect(seen).toEqual(codes(bytes));
    expect(seen).toEqual(expect.arrayContaining([1, 51, 53, 54, 67]));
  },

  shortReplies: async () => {
    const bytes = await answer("udhcpc-discover", { kind: "none" });
    expect([bytes.length, bytes.at(-1)]).toEqual([300, PAD]);
    expect(bytes.subarray(bytes.lastIndexOf(END) + 1).every((byte) => byte === PAD)).toBe(true);
  },

  fileInHeader: async () => {
    const bytes = await answer("constructed-uboot-arm64-discover", tftp);
    expect([cText(bytes, 108), text(bytes, 67), codes(bytes).includes(52)]).toEqual([FILE, FILE, false]);
    const search = Array.from({ length: 30 }, (_, index) => `a-rather-long-name-${index}.rack.example`);
    const world = dhcpWorld(rack({ search }));
    world.policy.decision = tftp;
    const asked = message("constructed-bare-bios-discover");
    asked.options.delete(OPTION.parameterRequestList.code);
    const crowded = encodeReply(asked, (await world.ask(asked)).reply!);
    expect([cText(crowded, 108), codes(crowded).includes(52)]).toEqual([FILE, false]);
  },

  serverInHeader: async () => {
    const bytes = await answer("constructed-intel-boot-agent-discover", tftp);
    expect([address(bytes, 20), cText(bytes, 44), text(bytes, 66)]).toEqual(["10.0.0.1", "10.0.0.1", "10.0.0.1"]);
    expect(codes(nested(value(bytes, 43)!))).not.toContain(PXE_OPTION.bootServers.code);
  },

  classAnswered: async () => {
    for (const name of ["constructed-intel-boot-agent-discover", "ovmf-pxe-discover"]) {
      expect(text(await answer(name, tftp), 60)).toBe("PXEClient");
    }
    expect(text(await answer("udhcpc-discover", { kind: "none" }), 60)).toBeUndefined();
  },

  fileInOffer: async () => {
    for (const name of ["ovmf-pxe-discover", "constructed-broadcom-uefi-discover"]) {
      const bytes = await answer(name, tftp);
      expect(edk2(bytes)).toBe("file");
      // the way to PXE-E55: the same offer without option 43
      bytes[[...walk(bytes)].find(({ code }) => code === 43)!.at - 2] = 254;
      expect(edk2(bytes)).toBe("asks 4011");
    }
    for (const name of ["ovmf-pxe-request-4011", "constructed-bios-request-bootserver"]) {
      const asked = message(name);
      const from = { address: asked.ciaddr, port: 68, family: "IPv4" as const, size: 0 };
      const { reply, to } = await answerBootServer(asked, from, proxySite(tftp));
      const bytes = encodeReply(asked, reply!);
      expect(to).toEqual({ address: asked.ciaddr, port: 68 });
      expect([value(bytes, 53)?.[0], edk2(bytes), cText(bytes, 108), address(bytes, 20)]).toEqual([
        ...[5, "file", FILE, "10.0.0.1"],
      ]);
    }
  },

  encapsulatedEnd: async () => {
    expect(value(await answer("constructed-intel-boot-agent-discover", tftp), 43)?.at(-1)).toBe(END);
    expect(value(await answer("ovmf-pxe-discover", { kind: "exit" }), 43)?.at(-1)).toBe(END);
  },

  ipxeBesideProxy: async () => {
    const asked = message("ipxe-rom-discover");
    const { reply } = await answerProxy(asked, proxySite({ kind: "script" }));
    const bytes = encodeReply(asked, reply!);
    expect([address(bytes, 16), text(bytes, 60), edk2(bytes), codes(bytes).includes(175)]).toEqual([
      ...["0.0.0.0", "PXEClient", "file", false],
    ]);
  },

  secondLoader: () => {
    const asked = client("constructed-broadcom-uefi-discover");
    const situation = { client: asked, via: "dhcp" as const, network: "rack1", known: true, armed: true };
    const entry = bootEntry({ mac: asked.mac });
    const loaders = { "uefi-x64": ["snponly.efi", "ipxe.efi"] };
    const memory = { proven: [], failed: "snponly.efi", rounds: 1, roundedAt: 0, reachedScript: false };
    expect(decideBoot({ ...situation, entry, unknown: "exit", loaders, memory, chained: false })).toMatchObject({
      file: "ipxe.efi",
    });
  },

  noProxy: async () => {
    const bytes = await answer("ipxe-undionly-discover", { kind: "script" });
    expect([...value(bytes, 175)!.subarray(0, 3)]).toEqual([176, 1, 1]);
  },

  httpClass: async () => {
    const bytes = await answer("ovmf-http-discover", http);
    expect([text(bytes, 60), text(bytes, 67), codes(bytes).includes(43)]).toEqual([
      ...["HTTPClient", `http://10.0.0.1/assets/${FILE}`, false],
    ]);
  },

  noMachineId: async () => {
    expect(codes(await answer("constructed-bare-bios-discover", tftp))).not.toContain(97);
    const asked = "constructed-intel-boot-agent-discover";
    expect(value(await answer(asked, tftp), 97)).toEqual(Buffer.from(message(asked).options.get(97)!));
  },

  noArchitecture: () => {
    expect(client("constructed-bare-bios-discover")).toMatchObject({ stage: "firmware", firmware: "bios" });
  },

  architectureNumbers: () => {
    expect(client("constructed-arch-8-discover")).toMatchObject({ firmware: "uefi-x64", architecture: 8 });
    expect(client("constructed-broadcom-uefi-discover")).toMatchObject({ firmware: "uefi-x64", architecture: 7 });
    expect(client("constructed-ia32-uefi-discover")).toMatchObject({ stage: "firmware", architecture: 6 });
    expect(client("constructed-ia32-uefi-discover")).not.toHaveProperty("firmware");
    expect(client("constructed-uboot-arm64-discover")).toMatchObject({ firmware: "uefi-arm64" });
  },

  raspberryPi: () => {
    const pi = client("constructed-raspberry-pi-discover");
    expect(pi).toMatchObject({ stage: "firmware", architecture: 0 });
    expect(pi).not.toHaveProperty("firmware");
    for (const maker of ["e45f01", "2ccf67"]) {
      const later = message("constructed-raspberry-pi-discover");
      later.chaddr = Buffer.from(`${maker}000001`, "hex");
      expect(identifyBootClient(later)).not.toHaveProperty("firmware");
    }
    const asUefi = message("constructed-uboot-arm64-discover");
    asUefi.chaddr = message("constructed-raspberry-pi-discover").chaddr;
    expect(identifyBootClient(asUefi)).toMatchObject({ firmware: "uefi-arm64" });
  },

  menuLine: async () => {
    const entry = bootEntry({ nodeName: "n".repeat(63) });
    const bytes = await answer("ovmf-pxe-discover", { kind: "refuse", reason: "boot-loop", entry });
    expect(edk2(bytes)).toBe("menu");
    const vendor = readOption(decodeDhcp(bytes).options, OPTION.vendorSpecific)!;
    const [line, ...more] = readOption(vendor, PXE_OPTION.bootMenu)!;
    expect([line?.type, more.length, tryReadOption(vendor, PXE_OPTION.bootMenuPrompt)?.timeoutSeconds]).toEqual([
      ...[0, 0, 255],
    ]);
    expect(line!.description).toMatch(/^Ingot: held in a boot loop: ingot node timeline n+$/);
    expect(line!.description.length).toBeLessThan(70);
  },
};

describe("firmware quirks", () => {
  it.each(Object.entries(tests))("%s", (_, test) => test());

  it("each says who told of it", () => {
    for (const [name, { sources, who, symptom, cure }] of Object.entries<FirmwareQuirk>(FIRMWARE_QUIRKS)) {
      for (const source of sources) expect(new URL(source).href, name).toMatch(/^https?:.{20}/);
      for (const words of [who, symptom, cure]) expect(words.length, name).toBeGreaterThan(3);
    }
  });
});
