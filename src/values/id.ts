import { randomBytes } from "node:crypto";

/** What immutable ids begin with, so that one glance at a log tells what it names. */
export type IdPrefix = "node" | "img" | "disk" | "op" | "boot" | "app" | "chap";

/** A new immutable id: prefix and 60 random bits in lower-case base 32, `disk-7k2m9q4x0b3d`. */
export function newId(prefix: IdPrefix): string {
  const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
  let text = "";
  for (const byte of randomBytes(12)) text += alphabet[byte & 31];
  return `${prefix}-${text}`;
}
