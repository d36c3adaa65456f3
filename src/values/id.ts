import { randomBytes } from "node:crypto";

/** What immutable ids begin with, so that one glance at a log tells what it names. */
export type IdPrefix = "node" | "img" | "disk" | "op" | "boot" | "app" | "chap" | "exp" | "tok" | "net";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const LETTERS = 12;
/** Fetched for many ids at a time: the boot path makes some per packet. */
let random = Buffer.alloc(0);

/** A new immutable id: prefix and 60 random bits in lower-case base 32, `disk-7k2m9q4x0b3d`. */
export function newId(prefix: IdPrefix): string {
  if (random.length === 0) random = randomBytes(LETTERS * 256);
  let text = "";
  for (let at = 0; at < LETTERS; at++) text += ALPHABET[random[at]! & 31];
  random = random.subarray(LETTERS);
  return `${prefix}-${text}`;
}
