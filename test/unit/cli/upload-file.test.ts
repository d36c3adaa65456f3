import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ApiClient } from "../../../src/cli/api-client.ts";
import { uploadFile } from "../../../src/cli/upload-file.ts";

const SIZE = 1000;
const TEN_MINUTES = 600_000;

let directory: string;
let server: Server;
/** What becomes of a piece. */
let take: (request: IncomingMessage, response: ServerResponse) => void;
/** How the question is answered how far it is. */
let tell: () => { status: number; answer: object };
let receivedBytes: number;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-upload-"));
  writeFileSync(join(directory, "file"), Buffer.alloc(SIZE));
  vi.useFakeTimers({ toFake: ["Date"] });
  receivedBytes = 0;
  tell = () => ({ status: 200, answer: { receivedBytes } });
  server = createServer((request, response) => {
    if (!request.headers["content-range"]?.startsWith("bytes *")) return take(request, response);
    const { status, answer } = tell();
    response.writeHead(status).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(join(directory, "api"), resolve));
});
afterEach(async () => {
  vi.useRealTimers();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

const upload = () =>
  uploadFile(
    new ApiClient({ socket: join(directory, "api") }),
    { path: "/content", file: join(directory, "file"), stated: { format: "raw" } },
    () => {},
  );

/** Takes all of it, for so long, and breaks the connection. */
function breakLate(arrived: number) {
  return (request: IncomingMessage) =>
    request.resume().on("end", () => {
      vi.setSystemTime(Date.now() + TEN_MINUTES);
      receivedBytes = arrived;
      request.socket.destroy();
    });
}

it("goes on after a connection broke, however long the piece before has taken", async () => {
  const begun: (string | undefined)[] = [];
  take = (request, response) => {
    begun.push(request.headers["content-range"]);
    if (begun.length <= 2) return breakLate(begun.length * 300)(request);
    request.resume().on("end", () => response.writeHead(202).end(JSON.stringify({ id: "op-1", state: "running" })));
  };
  expect(await upload()).toMatchObject({ id: "op-1" });
  expect(begun).toEqual(["bytes 0-999/1000", "bytes 300-999/1000", "bytes 600-999/1000"]);
});

it("gives up when nothing gets through for a minute", async () => {
  take = breakLate(0);
  await expect(upload()).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

it("takes the import that it did not hear of, but not that of an earlier call", async () => {
  take = (request) => {
    tell = () => ({ status: 202, answer: { id: "op-1", state: "done" } });
    breakLate(0)(request);
  };
  expect(await upload()).toMatchObject({ id: "op-1" });
  await expect(upload()).rejects.toMatchObject({ code: "EXISTS" });
  tell = () => ({ status: 202, answer: { id: "op-1", state: "running" } });
  expect(await upload()).toMatchObject({ id: "op-1" });
});
