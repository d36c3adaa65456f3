import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { contentBody } from "../../../src/http/api/content-body.ts";
import { PATIENT } from "./api-world.ts";

const endless = () =>
  new Readable({
    read() {
      this.push(Buffer.alloc(1000));
    },
  });
const PARTS = [{ first: 0, last: 9_999_999 }];

describe("the body of a download", () => {
  it("ends with a client that takes nothing any more", async () => {
    const content = endless();
    const why: unknown[] = [];
    const cutOff = (error: unknown) => why.push(error) > 0;
    const reader = contentBody({ parts: PARTS, open: async () => content, cutOff }, 20).getReader();
    expect((await reader.read()).value?.length).toBeGreaterThan(0);
    await expect.poll(() => why, PATIENT).toMatchObject([{ code: "TIMEOUT" }]);
    expect(content.destroyed).toBe(true);
  });

  it("goes on as long as it is taken, however long that is", async () => {
    const pieces = Array.from({ length: 20 }, (_, index) => Buffer.from([index]));
    const why: unknown[] = [];
    const body = contentBody({
      parts: PARTS,
      open: async () => Readable.from(pieces),
      cutOff: (one) => why.push(one) > 0,
    });
    expect(await Array.fromAsync(body)).toHaveLength(20);
    expect(why).toEqual([]);
  });

  it("cuts the client off where its content breaks off, or fails where there is no connection", async () => {
    for (const isConnected of [true, false]) {
      const content = new Readable({ read: () => content.destroy(new Error("gone")) });
      const why: unknown[] = [];
      const cutOff = (error: unknown) => why.push(error) > 0 && isConnected;
      const taken = contentBody({ parts: PARTS, open: async () => content, cutOff })
        .getReader()
        .read();
      if (!isConnected) await expect(taken).rejects.toThrow("gone");
      await expect.poll(() => why, PATIENT).toMatchObject([{ message: "gone" }]);
    }
  });

  it("lets go of what was opened and never taken", async () => {
    const first = endless();
    await contentBody({ parts: PARTS, open: async () => endless(), first, cutOff: () => true }).cancel();
    expect(first.destroyed).toBe(true);
  });
});
