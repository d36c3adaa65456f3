import type { Shape } from "./shape.ts";

/** Uninterpreted bytes. */
export const bytes: Shape<Uint8Array> = {
  decode: (value) => value,
  encode: (value) => value,
  format: formatHex,
};

/** A password: bytes that are never shown. */
export const secret: Shape<Uint8Array> = { ...bytes, format: () => "(secret)" };

/** `0x0a14`, or `empty`. */
export function formatHex(value: Uint8Array): string {
  return value.length === 0 ? "empty" : `0x${Buffer.from(value).toString("hex")}`;
}
