import { once } from "node:events";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { sendParts } from "../../../src/http/boot/send-parts.ts";
import { SocketSendfile } from "../../../src/net/socket-sendfile.ts";

const SIZE = 4 * 1024 * 1024;
const PIECE_MS = 60_000;

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Serves a file to one client with `kernel` in the place of the kernel's help; answers how the sending ended. */
async function sending(kernel: SocketSendfile["send"]): Promise<"sent" | "cut"> {
  const directory = await mkdtemp(join(tmpdir(), "ingot-parts-"));
  await writeFile(join(directory, "file"), Buffer.alloc(SIZE));
  const file = await open(join(directory, "file"));
  vi.spyOn(SocketSendfile.prototype, "send").mockImplementation(kernel);
  const ended = Promise.withResolvers<"sent" | "cut">();
  const server = http.createServer((_request, response) => {
    sendParts(file, [{ first: 0, last: SIZE - 1 }], response, PIECE_MS).then(
      () => ended.resolve("sent"),
      () => ended.resolve("cut"),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const client = http.get({ port: (server.address() as AddressInfo).port, agent: false }, (answer) => answer.resume());
  client.on("error", () => {});
  try {
    return await ended.promise;
  } finally {
    client.destroy();
    server.close();
    await file.close();
    await rm(directory, { recursive: true });
  }
}

it("waits for a slow disk as long as something comes", async () => {
  const slowly: SocketSendfile["send"] = async (_position, bytes) => {
    vi.advanceTimersByTime(PIECE_MS / 3);
    return Math.min(bytes, 256 * 1024);
  };
  expect(await sending(slowly)).toBe("sent");
});

it("cuts off a client that takes nothing for too long", async () => {
  const never: SocketSendfile["send"] = async () => {
    vi.advanceTimersByTime(PIECE_MS);
    return -1;
  };
  expect(await sending(never)).toBe("cut");
});
