import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { childOutput, pick } from "../../../src/drivers/images/child-output.ts";

const work = { driver: "test", action: "write", signal: AbortSignal.timeout(30_000) };

describe("what a program writes", () => {
  it("is whole for a reader who comes after the program ended", async () => {
    for (const length of [5, 100_000]) {
      const output = childOutput("head", ["-c", String(length), "/dev/zero"], work);
      await delay(300);
      expect((await text(output)).length).toBe(length);
    }
  });

  it("is not taken for whole where the program failed", async () => {
    const output = childOutput("sh", ["-c", "echo begun; echo no more >&2; exit 3"], work);
    await delay(300);
    await expect(text(output)).rejects.toMatchObject({
      code: "DRIVER_FAILED",
      message: expect.stringContaining("3: no more"),
    });
  });

  it("fails with the program's own words where that ended before it took its input", async () => {
    for (const length of [10, 10_000_000]) {
      const input = Readable.from([Buffer.alloc(length)]);
      const output = childOutput("sh", ["-c", "echo no such pool >&2; exit 4"], { ...work, input });
      await expect(text(output)).rejects.toMatchObject({ message: expect.stringContaining("4: no such pool") });
    }
  });

  it("fails as its input does, whatever the program made of it", async () => {
    const input = new Readable({ read: () => input.destroy(new Error("the source broke")) });
    await expect(text(childOutput("cat", [], { ...work, input }))).rejects.toThrow("the source broke");
  });
});

describe("ranges picked out of a stream", () => {
  it("are those bytes, however the stream comes, and it is let go with the last of them", async () => {
    const bytes = Buffer.from(Array.from({ length: 200 }, (_, index) => index));
    const cases = [
      [[0, 199]],
      [[5, 5]],
      [
        [0, 9],
        [10, 29],
        [100, 120],
        [199, 199],
      ],
      [[199, 250]],
      [],
    ] as [number, number][][];
    for (const pairs of cases) {
      for (const step of [1, 7, 64, 200]) {
        const pieces = Array.from({ length: Math.ceil(200 / step) }, (_, at) =>
          bytes.subarray(at * step, (at + 1) * step),
        );
        const content = Readable.from(pieces);
        const picked = pick(
          content,
          pairs.map(([first, last]) => ({ first, last })),
        );
        const wanted = Buffer.concat(pairs.map(([first, last]) => bytes.subarray(first, last + 1)));
        expect((await buffer(picked)).equals(wanted), `${pairs} in steps of ${step}`).toBe(true);
        await expect.poll(() => content.destroyed).toBe(true);
      }
    }
  });
});
