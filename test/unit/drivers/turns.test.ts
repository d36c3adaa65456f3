import { describe, expect, it } from "vitest";
import { Turns } from "../../../src/drivers/turns.ts";

describe("turns", () => {
  it("go one after the other for one key, also after a failure, and at the same time for others", async () => {
    const turns = new Turns();
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = turns.take("a", async () => {
      await gate.promise;
      order.push("a1");
      throw new Error("a1 failed");
    });
    const second = turns.take("a", async () => order.push("a2"));
    await turns.take("b", async () => order.push("b1"));
    gate.resolve();
    await expect(first).rejects.toThrow("a1 failed");
    await second;
    expect(order).toEqual(["b1", "a1", "a2"]);
  });
});
