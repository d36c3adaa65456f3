const CR = 0x0d;
const LF = 0x0a;
const NUL = 0x00;

/** A Unix text in the line ends of netascii (RFC 764, RFC 1350 1): LF becomes CR LF, a lone CR becomes CR NUL. */
export function toNetascii(text: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(text.length * 2);
  let length = 0;
  for (const byte of text) {
    if (byte === LF) out[length++] = CR;
    out[length++] = byte;
    if (byte === CR) out[length++] = NUL;
  }
  return out.subarray(0, length);
}
