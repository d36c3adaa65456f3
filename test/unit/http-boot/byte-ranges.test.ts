import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseByteRanges } from "../../../src/http/boot/byte-ranges.ts";

/** `0-9,20-29` for ranges, `ignored`, or `unsatisfiable`. */
function shown(header: string, size: number): string {
  const ranges = parseByteRanges(header, size);
  if (ranges === undefined) return "ignored";
  return ranges.map(({ first, last }) => `${first}-${last}`).join(",") || "unsatisfiable";
}

describe("a Range header", () => {
  it.each([
    ["bytes=0-9", "0-9"],
    ["Bytes=0-9", "0-9"],
    ["bytes=90-", "90-99"],
    ["bytes=90-1000", "90-99"],
    ["bytes=0-0", "0-0"],
    ["bytes=-10", "90-99"],
    ["bytes=-1000", "0-99"],
    ["bytes=0-99999999999999999999", "0-99"],
    // several
    ["bytes=0-1,5-6", "0-1,5-6"],
    ["bytes=50-59, 10-19", "50-59,10-19"],
    ["bytes= 0-1 ,, 5-6 ,", "0-1,5-6"],
    ["bytes=0-9,200-300", "0-9"],
    ["bytes=0-,-1", "0-99"],
    ["bytes=0-9,5-14", "0-14"],
    ["bytes=10-19,0-9", "0-19"],
    ["bytes=0-99,20-30,50-60", "0-99"],
    [`bytes=${Array.from({ length: 40 }, () => "0-").join(",")}`, "0-99"],
    // nothing to give
    ["bytes=100-", "unsatisfiable"],
    ["bytes=100-200,300-", "unsatisfiable"],
    ["bytes=-0", "unsatisfiable"],
    [`bytes=${Array.from({ length: 33 }, (_, index) => `${index * 3}-${index * 3}`).join(",")}`, "unsatisfiable"],
    // no byte ranges
    ["bytes=9-0", "ignored"],
    ["bytes=0-1,9-0", "ignored"],
    ["bytes=", "ignored"],
    ["bytes=,", "ignored"],
    ["bytes=-", "ignored"],
    ["bytes=a-b", "ignored"],
    ["bytes=1", "ignored"],
    ["bytes=0x1-0x9", "ignored"],
    ["bytes 0-9", "ignored"],
    ["lines=0-9", "ignored"],
    ["", "ignored"],
  ])("%j of 100 bytes is %s", (header, expected) => {
    expect(shown(header, 100)).toBe(expected);
  });

  it.each(["bytes=0-", "bytes=-5", "bytes=0-0"])("%s of an empty file can't be satisfied", (header) => {
    expect(shown(header, 0)).toBe("unsatisfiable");
  });

  it("gives ranges inside the file, none twice, that hold every byte asked for", () => {
    const spec = fc.tuple(fc.nat(120), fc.nat(40)).map(([first, more]) => ({ first, last: first + more }));
    fc.assert(
      fc.property(fc.array(spec, { minLength: 1, maxLength: 8 }), fc.integer({ min: 1, max: 100 }), (specs, size) => {
        const ranges = parseByteRanges(`bytes=${specs.map(({ first, last }) => `${first}-${last}`).join(",")}`, size)!;
        const given = ranges.flatMap(({ first, last }) =>
          Array.from({ length: last - first + 1 }, (_, n) => first + n),
        );
        const asked = new Set(
          specs.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, n) => first + n)),
        );
        expect(given.length).toBe(new Set(given).size);
        expect(new Set(given)).toEqual(new Set([...asked].filter((byte) => byte < size)));
      }),
    );
  });
});
