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

  it("are given up while they wait, and the next one comes all the same", async () => {
    const turns = new Turns();
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const abort = new AbortController();
    const first = turns.take("a", () => gate.promise);
    const second = turns.take("a", async () => order.push("a2"), abort.signal);
    const third = turns.take("a", async () => order.push("a3"));
    abort.abort(new Error("no patience"));
    await expect(second).rejects.toThrow("no patience");
    gate.resolve();
    await Promise.all([first, third]);
    expect(order).toEqual(["a3"]);
  });

  it("once begun, are left to end by themselves", async () => {
    const turns = new Turns();
    const gate = Promise.withResolvers<string>();
    const begun = Promise.withResolvers<void>();
    const abort = new AbortController();
    const action = () => {
      begun.resolve();
      return gate.promise;
    };
    const first = turns.take("a", action, abort.signal);
    await begun.promise;
    abort.abort();
    gate.resolve("done");
    expect(await first).toBe("done");
  });
});
