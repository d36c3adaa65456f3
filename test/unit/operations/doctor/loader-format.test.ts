import { describe, expect, it } from "vitest";
import type { FirmwareClass } from "../../../../src/boot/boot-client.ts";
import { loaderFault } from "../../../../src/operations/doctor/loader-format.ts";

/** A PE image with one section, which ends at byte 1024. */
function efi({ machine = 0x8664, subsystem = 10 } = {}): Buffer {
  const bytes = Buffer.alloc(1024);
  bytes.write("MZ");
  bytes.writeUInt32LE(0x80, 0x3c);
  bytes.write("PE\0\0", 0x80, "latin1");
  bytes.writeUInt16LE(machine, 0x84);
  bytes.writeUInt16LE(1, 0x86);
  bytes.writeUInt16LE(0xf0, 0x94);
  bytes.writeUInt16LE(subsystem, 0x80 + 24 + 68);
  const section = 0x80 + 24 + 0xf0;
  bytes.writeUInt32LE(512, section + 16);
  bytes.writeUInt32LE(512, section + 20);
  return bytes;
}
const nbp = Buffer.from("ea0500c007669c66600fa80f", "hex");

describe("a loader", () => {
  it.each<[FirmwareClass, string, Buffer, number | undefined, string | undefined]>([
    ["bios", "a boot program", nbp, undefined, undefined],
    ["uefi-x64", "an EFI program", efi(), undefined, undefined],
    ["uefi-http-x64", "an EFI program", efi(), undefined, undefined],
    ["uefi-arm64", "an EFI program for arm64", efi({ machine: 0xaa64 }), undefined, undefined],
    ["bios", "an EFI program", efi(), undefined, "is an EFI program, and BIOS firmware can't run it"],
    ["bios", "an ELF program", Buffer.from("\x7fELF\x02\x01\x01\0\0", "latin1"), undefined, "is an ELF program"],
    ["bios", "a web page", Buffer.from("<!DOCTYPE html>\n<html>"), undefined, "is text, not a program"],
    ["bios", "a hole", Buffer.alloc(4096), undefined, "begins with nothing but zeros"],
    ["bios", "a whole kernel", nbp, 8_000_000, "is larger than what fits into memory"],
    ["bios", "an empty file", Buffer.alloc(0), undefined, "is empty"],
    ["uefi-x64", "a boot program", nbp, undefined, "is no EFI program"],
    ["uefi-x64", "an EFI program for arm64", efi({ machine: 0xaa64 }), undefined, "is for arm64"],
    ["uefi-arm64", "an EFI program for x64", efi(), undefined, "is for x64"],
    ["uefi-x64", "an EFI program for ia32", efi({ machine: 0x014c }), undefined, "is for ia32"],
    ["uefi-x64", "a Windows program", efi({ subsystem: 3 }), undefined, "is no EFI application"],
    ["uefi-x64", "half a download", efi().subarray(0, 700), undefined, "is cut short"],
    ["uefi-x64", "a few bytes of one", efi().subarray(0, 100), undefined, "is no EFI program"],
  ])("for %s: %s", (firmware, _, head, sizeBytes, fault) => {
    const found = loaderFault(firmware, head, sizeBytes ?? head.length);
    if (fault === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(fault);
  });
});
