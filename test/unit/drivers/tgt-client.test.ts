import { mkdtempSync, renameSync, rmSync } from "node:fs";
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
  await expect(ask(7, SHOW, signal)).rejects.toMatchObject({ ...outage, details: { absent: true } });

  daemon = createServer((socket) => socket.resume().unref());
  await new Promise<void>((resolve) => daemon?.listen(join(directory, "socket.7"), resolve));
  const silent = await ask(7, SHOW, signal).catch((error) => error);
  expect(silent).toMatchObject({ ...outage, message: "target show: the target daemon has not answered for 0.05 s" });
  // it may be serving all the same
  expect(silent.details).not.toHaveProperty("absent");
});

it("knows a daemon that ended from one that breaks off", async () => {
  const ask = createTgtClient(join(directory, "socket"));
  daemon = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => daemon?.listen(join(directory, "socket.7"), resolve));
  const brokenOff = await ask(7, SHOW, signal).catch((error) => error);
  expect(brokenOff).toMatchObject({ code: "UNAVAILABLE", details: { outage: true } });
  expect(brokenOff.details).not.toHaveProperty("absent");

  // its socket is still there, as after a kill -9
  renameSync(join(directory, "socket.7"), join(directory, "socket.8"));
  await new Promise((resolve) => daemon?.close(resolve));
  await expect(ask(8, SHOW, signal)).rejects.toMatchObject({ code: "UNAVAILABLE", details: { absent: true } });
});
