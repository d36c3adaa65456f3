import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Incoming } from "../../../src/operations/incoming.ts";

const MIB = 1024 ** 2;

let directory: string;
let incoming: Incoming;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-incoming-"));
  incoming = new Incoming({ directory: join(directory, "incoming"), maxBytes: 1000 });
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("room for what is being brought in", () => {
  it("is promised once, however many ask at the same time", async () => {
    const asked = await Promise.allSettled(["img-a", "img-b", "img-c"].map((image) => incoming.promise(image, 600)));
    expect(asked.map((one) => one.status)).toEqual(["fulfilled", "rejected", "rejected"]);
    expect(asked[1]).toMatchObject({ reason: { code: "POOL_FULL", details: { freeBytes: 400 } } });
    await incoming.promise("img-d", 400);
  });

  it("stays as it was when more is refused", async () => {
    await incoming.promise("img-a", 600);
    await incoming.promise("img-b", 300);
    await expect(incoming.promise("img-b", 500)).rejects.toMatchObject({ code: "POOL_FULL" });
    await expect(incoming.promise("img-c", 101)).rejects.toMatchObject({ code: "POOL_FULL" });
    await incoming.promise("img-c", 100);
    await incoming.remove("img-a");
    await incoming.promise("img-b", 900);
  });

  it("grows with what comes, up to the last byte", async () => {
    await incoming.promise("img-a", 300);
    await incoming.grow("img-b", 10);
    await incoming.grow("img-b", 700);
    await expect(incoming.grow("img-b", 701)).rejects.toMatchObject({ code: "POOL_FULL", details: { freeBytes: 700 } });
  });
});

it("keeps zeros as holes, and counts them as arrived", async () => {
  const [data, zeros] = [Buffer.alloc(MIB, "data"), Buffer.alloc(16 * MIB)];
  await incoming.promise("img-a", 1000);
  const file = await incoming.open("img-a", "w");
  let endsAt = 0;
  for (const piece of [zeros, data, zeros]) {
    await file?.append(piece, endsAt);
    endsAt += piece.length;
    expect(await incoming.receivedBytes("img-a")).toBe(endsAt);
  }
  await file?.close();
  expect(readFileSync(incoming.path("img-a")).equals(Buffer.concat([zeros, data, zeros]))).toBe(true);
  expect(statSync(incoming.path("img-a")).blocks * 512).toBeLessThan(2 * MIB);
});

it("is synced as it comes, so that little is left to wait for at its end", async () => {
  const probe = await open(directory);
  const handles = Object.getPrototypeOf(probe);
  await probe.close();
  let unsynced = 0;
  const piece = new Uint8Array(48 * MIB).fill(1);
  const write = vi.spyOn(handles, "write").mockImplementation(async () => {
    unsynced += piece.length;
    return { bytesWritten: piece.length };
  });
  const sync = vi.spyOn(handles, "datasync").mockImplementation(async () => {
    unsynced = 0;
  });
  try {
    await incoming.promise("img-a", 10);
    const file = await incoming.open("img-a", "w");
    for (let position = 0; position < 1024 * MIB; position += piece.length) {
      await file?.append(piece, position);
      expect(unsynced).toBeLessThan(300 * MIB);
    }
    expect(sync.mock.calls.length).toBeLessThan(5);
    await file?.close();
    expect(unsynced).toBe(0);
  } finally {
    write.mockRestore();
    sync.mockRestore();
  }
});
