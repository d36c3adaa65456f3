import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { type Change, decodeDiff, encodeDiff } from "../../../src/drivers/images/exchange/rbd-diff.ts";

const KIB = 1024;
const stream = (bytes: Buffer, piece = 10_000) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / piece) }, (_, at) => bytes.subarray(at * piece, at * piece + piece)),
  );
const encode = async (before: Buffer, after: Buffer) =>
  Buffer.concat(await Array.fromAsync(encodeDiff(stream(before), stream(after, 70_001), after.length)));
const decode = (diff: Buffer, piece?: number): Promise<Change[]> => Array.fromAsync(decodeDiff(stream(diff, piece)));

const before = Buffer.alloc(300 * KIB, "before ");
const after = Buffer.from(before);
after.fill("after", 70 * KIB, 71 * KIB);
after.fill(0, 128 * KIB, 192 * KIB);

describe("a diff", () => {
  it("tells what changed and nothing else, and makes the one of the other", async () => {
    const changes = await decode(await encode(before, after));
    expect(
      changes.map((one) => ({ ...one, ...("offset" in one && "bytes" in one ? { bytes: one.bytes.length } : {}) })),
    ).toEqual([
      { kind: "size", bytes: 300 * KIB },
      { kind: "data", offset: 64 * KIB, bytes: 64 * KIB },
      { kind: "zero", offset: 128 * KIB, length: 64 * KIB },
    ]);
  });

  it.each([
    ["longer", before, Buffer.concat([before, Buffer.from("more")])],
    ["shorter", before, before.subarray(0, 100 * KIB)],
    ["longer by zeros", before, Buffer.concat([before, Buffer.alloc(64 * KIB)])],
    ["the same", before, before],
    ["of nothing", Buffer.alloc(0), after],
  ])("of content that is %s gives that", async (_, old, now) => {
    let made = Buffer.from(old);
    for (const change of await decode(await encode(old, now), 7)) {
      if (change.kind === "size") {
        made = Buffer.concat([made.subarray(0, change.bytes), Buffer.alloc(Math.max(0, change.bytes - made.length))]);
      } else if (change.kind === "data") change.bytes.copy(made, change.offset);
      else made.fill(0, change.offset, change.offset + change.length);
    }
    expect(made.equals(now)).toBe(true);
  });

  it("is refused where it is cut, goes on, or holds what is not known", async () => {
    const diff = await encode(Buffer.alloc(0), Buffer.from("a small one"));
    for (let length = 0; length < diff.length; length++) {
      await expect(decode(diff.subarray(0, length)), `${length} bytes`).rejects.toMatchObject({ code: "INVALID" });
    }
    await expect(decode(Buffer.concat([diff, Buffer.from("x")]))).rejects.toMatchObject({ code: "INVALID" });
    const unknown = Buffer.concat([diff.subarray(0, -1), Buffer.from("q")]);
    await expect(decode(unknown)).rejects.toMatchObject({ code: "INVALID" });
    const huge = Buffer.concat([diff.subarray(0, 12), Buffer.from("w"), Buffer.alloc(16, 0xff)]);
    await expect(decode(huge)).rejects.toMatchObject({ code: "INVALID" });
    const long = Buffer.alloc(17, "w");
    long.writeBigUInt64LE(0n, 1);
    long.writeBigUInt64LE(2n ** 40n, 9);
    await expect(decode(Buffer.concat([diff.subarray(0, 12), long]))).rejects.toMatchObject({ code: "INVALID" });
  });
});
