import type { FirmwareClass } from "../../boot/boot-client.ts";

/** Enough for every header of a PE image. */
export const HEAD_BYTES = 4096;

// PE format specification: offsets, machine types, subsystems
const PE_POINTER = 0x3c;
const COFF_BYTES = 24;
const SUBSYSTEM = COFF_BYTES + 68;
const SECTION_BYTES = 40;
const EFI_APPLICATION = 10;
const MACHINES: Record<number, string> = { 34404: "x64", 43620: "arm64", 332: "ia32" };

/** A PXE ROM loads its program at 0x7c00, below the ROM area. */
const LARGEST_BIOS_BYTES = 0xa0000 - 0x7c00;

/** What is wrong with a loader for this firmware, by its first bytes and its size; undefined if it may run there. */
export function loaderFault(firmware: FirmwareClass, head: Buffer, sizeBytes: number): string | undefined {
  if (sizeBytes === 0) return "is empty";
  if (isText(head)) return "is text, not a program";
  return firmware === "bios" ? biosFault(head, sizeBytes) : efiFault(firmware, head, sizeBytes);
}

function biosFault(head: Buffer, sizeBytes: number): string | undefined {
  if (peOffset(head) !== undefined) return "is an EFI program, and BIOS firmware can't run it";
  if (head.subarray(0, 4).toString("latin1") === "\x7fELF") return "is an ELF program, not a network boot program";
  if (head.every((byte) => byte === 0)) return "begins with nothing but zeros";
  return sizeBytes > LARGEST_BIOS_BYTES ? "is larger than what fits into memory before an OS runs" : undefined;
}

function efiFault(firmware: FirmwareClass, head: Buffer, sizeBytes: number): string | undefined {
  const pe = peOffset(head);
  if (pe === undefined) return "is no EFI program";
  const machine = MACHINES[head.readUInt16LE(pe + 4)] ?? "another kind of processor";
  if (!firmware.endsWith(`-${machine}`)) return `is for ${machine}`;
  if (head.readUInt16LE(pe + SUBSYSTEM) !== EFI_APPLICATION) return "is no EFI application";
  return sizeBytes < imageBytes(head, pe) ? "is cut short" : undefined;
}

/** Where the PE header begins, if there is one with all of its fixed fields. */
function peOffset(head: Buffer): number | undefined {
  if (head.length < PE_POINTER + 4 || head.toString("latin1", 0, 2) !== "MZ") return undefined;
  const pe = head.readUInt32LE(PE_POINTER);
  if (pe + SUBSYSTEM + 2 > head.length) return undefined;
  return head.toString("latin1", pe, pe + 4) === "PE\0\0" ? pe : undefined;
}

/** Where the content of the last section ends in the file. */
function imageBytes(head: Buffer, pe: number): number {
  const count = head.readUInt16LE(pe + 6);
  const table = pe + COFF_BYTES + head.readUInt16LE(pe + 20);
  let end = 0;
  for (let at = table; at < table + count * SECTION_BYTES && at + SECTION_BYTES <= head.length; at += SECTION_BYTES) {
    end = Math.max(end, head.readUInt32LE(at + 16) + head.readUInt32LE(at + 20));
  }
  return end;
}

function isText(head: Buffer): boolean {
  return head
    .subarray(0, 64)
    .every((byte) => byte === 0x09 || byte === 0x0a || byte === 0x0d || (byte >= 0x20 && byte < 0x7f));
}
