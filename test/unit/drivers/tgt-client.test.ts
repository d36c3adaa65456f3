import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createTgtClient } from "../../../src/drivers/targets/tgt-client.ts";

const SHOW = { mode: "target", operation: "show" } as const;
const signal = AbortSignal.timeout(10_000);
let directory: string;
let daemon: Server | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-tgt-client-"));
});
afterEach(() => {
  daemon?.close();
  rmSync(directory, { recursive: true });
});

it("takes a daemon that hangs for an outage, as one that is away", async () => {
  const ask = createTgtClient(join(directory, "socket"), 50);
  const outage = { code: "UNAVAILABLE", retryable: true, details: { driver: "tgt", outage: true } };
  await expect(ask(7, SHOW, signal)).rejects.toMatchObject(outage);

  daemon = createServer((socket) => socket.resume().unref());
  await new Promise<void>((resolve) => daemon?.listen(join(directory, "socket.7"), resolve));
  await expect(ask(7, SHOW, signal)).rejects.toMatchObject({
    ...outage,
    message: "target show: the target daemon has not answered for 0.05 s",
  });
});
