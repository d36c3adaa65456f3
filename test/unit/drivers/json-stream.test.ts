import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonStream } from "../../../src/drivers/isolation/json-stream.ts";

const objects = fc.array(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), { maxLength: 6 });

describe("a stream of JSON objects", () => {
  it("is cut where each ends, however it arrives", () => {
    const property = fc.property(objects, fc.constantFrom("", " ", "\n"), fc.array(fc.nat()), (sent, gap, cuts) => {
      const text = sent.map((one) => `${JSON.stringify(one)}${gap}`).join("");
      const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
      const pieces = [0, ...at].map((from, index) => text.slice(from, at[index] ?? text.length));
      const stream = new JsonStream(1_000_000);
      expect(pieces.flatMap((piece) => stream.push(piece)).map((one) => JSON.parse(one))).toEqual(
        sent.map((one) => JSON.parse(JSON.stringify(one))),
      );
    });
    fc.assert(property, { numRuns: 500 });
  });

  it.each(['x{"a":1}', "[1]", '"a"', "}"])("is refused for %s, which is no object", (text) => {
    expect(() => new JsonStream(100).push(text)).toThrow(/no JSON object/);
  });

  it("is refused when an object has no end", () => {
    const stream = new JsonStream(100);
    stream.push(`{"a":"${"x".repeat(80)}`);
    expect(() => stream.push("x".repeat(80))).toThrow(/more than 100/);
  });
});
