/**
 * UUIDs that whole product lines share because nobody filled them in, in canonical form.
 * A UUID whose sixteen bytes are all alike is refused by rule and not listed.
 */
const PLACEHOLDERS = new Set([
  "03000200-0400-0500-0006-000700080009", // AMI's default, on many boards of Supermicro, Gigabyte and others
  "00020003-0004-0005-0006-000700080009", // the same, stored in the other byte order
  "03020100-0504-0706-0809-0a0b0c0d0e0f", // bytes 0 to 15
  "00010203-0405-0607-0809-0a0b0c0d0e0f", // the same, stored in the other byte order
  "12345678-1234-5678-90ab-cddeefaabbcc", // AMI's older default
  "11111111-2222-3333-4444-555555555555",
  "10000000-0000-8000-0040-000000000000",
  "01234567-8910-1112-1314-151617181920",
  "4c4c4544-0000-2010-8020-80c04f202020", // Dell without a service tag: "DELL", zeros and blanks
  "4c4c4544-0020-2010-8020-a0c04f202020", // Dell with a blank service tag
]);

/**
 * The machine's UUID from the sixteen bytes of option 97 (RFC 4578 2.3), or undefined when it is one that other
 * machines share. As in SMBIOS and EFI, the first three fields arrive little-endian; the text has them in the
 * usual order, as dmidecode and a running Linux print it.
 */
export function clientUuid(machineId: Uint8Array): string | undefined {
  const bytes = Buffer.from(machineId);
  if (bytes.every((byte) => byte === bytes[0])) return undefined;
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  const text = bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  return PLACEHOLDERS.has(text) ? undefined : text;
}
