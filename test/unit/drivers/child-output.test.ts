import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { childOutput } from "../../../src/drivers/images/child-output.ts";

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
});
