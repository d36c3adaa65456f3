import { END, PAD } from "./protocol.ts";
import { malformed } from "./shapes/shape.ts";

/** Values by code: the options of a message, or the sub-options of one option. */
export type Options = Map<number, Uint8Array>;

/**
 * Collects code-length-value triples from several areas, one after the other; instances of one code are
 * joined in the order met (RFC 3396 5). Linear in the bytes read.
 */
export class TlvCollector {
  readonly #parts = new Map<number, Uint8Array[]>();

  /**
   * Reads one area. With `padAndEnd`, 0 is skipped and 255 ends the area, whatever follows; an area that just
   * stops is taken as ended. Throws INVALID, named after `field`, for a length that runs past the area.
   */
  read(area: Uint8Array, padAndEnd: boolean, field: (code: number) => string): void {
    for (let offset = 0; offset < area.length; ) {
      const code = area[offset]!;
      if (padAndEnd && code === END) return;
      if (padAndEnd && code === PAD) {
        offset++;
        continue;
      }
      const length = area[offset + 1];
      if (length === undefined) throw malformed(field(code), "its length is missing");
      const end = offset + 2 + length;
      if (end > area.length) {
        throw malformed(field(code), `its length says ${length} bytes, ${area.length - offset - 2} are there`);
      }
      const value = area.subarray(offset + 2, end);
      const parts = this.#parts.get(code);
      if (parts) parts.push(value);
      else this.#parts.set(code, [value]);
      offset = end;
    }
  }

  /** Forgets a code and answers its joined value. */
  take(code: number): Uint8Array | undefined {
    const parts = this.#parts.get(code);
    this.#parts.delete(code);
    return parts && join(parts);
  }

  /** All joined values, in order of first appearance. One that is whole in its area shares its memory. */
  options(): Options {
    const options: Options = new Map();
    for (const [code, parts] of this.#parts) options.set(code, join(parts));
    return options;
  }
}

function join(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const value = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    value.set(part, offset);
    offset += part.length;
  }
  return value;
}
