import type { Shape } from "./shape.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Text, without the trailing NULs that receivers must be prepared for (RFC 2132 2). It is ASCII by the RFC;
 * bytes beyond are read as UTF-8 if they can be and else as Latin-1, so that none makes a text unreadable.
 */
export const text: Shape<string> = {
  decode: decodeText,
  encode: (value) => Buffer.from(value, "utf8"),
  format: quote,
};

/** The text that bytes hold, without trailing NULs. */
export function decodeText(bytes: Uint8Array): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  const trimmed = bytes.subarray(0, end);
  try {
    return utf8.decode(trimmed);
  } catch {
    return Buffer.from(trimmed).toString("latin1");
  }
}

/** The text in double quotes, everything beyond printable ASCII escaped: fit for logs and terminals. */
export function quote(value: string): string {
  return JSON.stringify(value).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
