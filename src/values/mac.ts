import { ApplianceError } from "../errors.ts";

declare const macBrand: unique symbol;
/** A 48-bit Ethernet address in its one form: lower case, colons. */
export type Mac = string & { readonly [macBrand]: true };

/** A Mac from `52:54:00:AB:cd:ef`, dashes or bare hex digits. INVALID otherwise, or for multicast and all-zero addresses. */
export function parseMac(text: string, field = "mac"): Mac {
  const digits = text
    .trim()
    .toLowerCase()
    .replace(/^([0-9a-f]{2})([:-]?)((?:[0-9a-f]{2}\2){4}[0-9a-f]{2})$/, "$1$3")
    .replace(/[:-]/g, "");
  const bytes = /^[0-9a-f]{12}$/.test(digits) ? Buffer.from(digits, "hex") : undefined;
  if (!bytes || (bytes[0] ?? 1) & 1 || bytes.every((byte) => byte === 0)) {
    throw new ApplianceError("INVALID", `${field}: "${text}" is not the address of one network card`, {
      details: { field, value: text, remedy: "write it like 52:54:00:12:34:56" },
    });
  }
  return formatMac(bytes);
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** A Mac from six bytes of a packet, or those that there are; no other check. */
export function formatMac(bytes: Uint8Array, offset = 0): Mac {
  let text = "";
  for (let at = offset; at < offset + 6 && at < bytes.length; at++) {
    text += at === offset ? HEX[bytes[at]!] : `:${HEX[bytes[at]!]}`;
  }
  return text as Mac;
}

/** The six bytes of a Mac. */
export function macBytes(mac: Mac): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}
