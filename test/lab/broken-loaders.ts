/** Loaders of the right format that come to nothing. */

/** A BIOS network boot program that halts: interrupts off, then for ever. */
export const HALTING_BIOS_LOADER = Buffer.from([0xfa, 0xf4, 0xeb, 0xfd]);

/** An EFI application (x86-64) that stands still. */
export const HALTING_EFI_LOADER = efiApplication([0xeb, 0xfe]);

/** An EFI application that resets the machine: writes 6 to the chipset's reset control register. */
export const RESETTING_EFI_LOADER = efiApplication([0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xeb, 0xfe]);

/** A PE32+ image with one section that holds this code, entered at its begin. */
function efiApplication(code: number[]): Buffer {
  const [headers, alignment, sections] = [0x200, 0x1000, 1];
  const image = Buffer.alloc(headers + 0x200);
  image.write("MZ", 0, "latin1");
  image.writeUInt32LE(0x40, 0x3c); // where the PE header is
  image.write("PE\0\0", 0x40, "latin1");
  const coff = 0x44;
  image.writeUInt16LE(0x8664, coff); // x86-64
  image.writeUInt16LE(sections, coff + 2);
  image.writeUInt16LE(0xf0, coff + 16); // size of the optional header
  image.writeUInt16LE(0x22, coff + 18); // executable, addresses beyond 2 GiB
  const optional = coff + 20;
  image.writeUInt16LE(0x20b, optional); // PE32+
  image.writeUInt32LE(0x200, optional + 4); // size of code
  image.writeUInt32LE(alignment, optional + 16); // entry point
  image.writeUInt32LE(alignment, optional + 20); // base of code
  image.writeUInt32LE(alignment, optional + 32);
  image.writeUInt32LE(0x200, optional + 36); // alignment in the file
  image.writeUInt32LE(2 * alignment, optional + 56); // size of the image
  image.writeUInt32LE(headers, optional + 60);
  image.writeUInt16LE(10, optional + 68); // subsystem: EFI application
  image.writeUInt32LE(16, optional + 108); // number of data directories, all empty
  const section = optional + 0xf0;
  image.write(".text", section, "latin1");
  image.writeUInt32LE(code.length, section + 8);
  image.writeUInt32LE(alignment, section + 12);
  image.writeUInt32LE(0x200, section + 16);
  image.writeUInt32LE(headers, section + 20);
  image.writeUInt32LE(0x60000020, section + 36); // code, to be executed and read
  image.set(code, headers);
  return image;
}
