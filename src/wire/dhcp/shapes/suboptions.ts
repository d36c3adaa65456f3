import { formatOptions, type Option } from "../option.ts";
import { END } from "../protocol.ts";
import { type Options, TlvCollector } from "../tlv.ts";
import { malformed, type Shape } from "./shape.ts";

/**
 * Options inside an option: a map that readOption and writeOption take with the options of `table`.
 * With `padAndEnd` PAD and END mean what they mean outside, and an END is written.
 */
export function suboptions(table: Record<string, Option<unknown>>, padAndEnd: boolean): Shape<Options> {
  const names = new Map(Object.values(table).map((option) => [option.code, option]));
  return {
    decode(bytes, field) {
      const collector = new TlvCollector();
      collector.read(bytes, padAndEnd, (code) => `${field}, sub-option ${names.get(code)?.label ?? code}`);
      return collector.options();
    },
    encode(options, field) {
      const parts: Uint8Array[] = [];
      for (const [code, value] of options) {
        if (!isSuboptionCode(code, padAndEnd)) throw malformed(field, `${code} is no code of a sub-option`);
        if (value.length > 255) throw malformed(field, `sub-option ${code} has more than 255 bytes`);
        parts.push(Uint8Array.of(code, value.length), value);
      }
      if (padAndEnd) parts.push(Uint8Array.of(END));
      return Buffer.concat(parts);
    },
    format: (options) => `{ ${formatOptions(options, names).join(", ")} }`,
  };
}

function isSuboptionCode(code: number, padAndEnd: boolean): boolean {
  return padAndEnd ? code > 0 && code < END : code >= 0 && code <= 255;
}
