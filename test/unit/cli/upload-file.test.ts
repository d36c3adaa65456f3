import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiClient } from "../../../src/cli/api-client.ts";
import { uploadFile, uploadStream } from "../../../src/cli/upload-file.ts";

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
  server.closeAllConnections();
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

it("tells when the file was changed, each time", async () => {
  const told: (string | null)[] = [];
  const file = join(directory, "file");
  take = (request, response) => {
    told.push(new URL(request.url!, "http://ingot").searchParams.get("modifiedAt"));
    if (told.length === 1) {
      utimesSync(file, new Date(2_000), new Date(2_000));
      return breakLate(300)(request);
    }
    request.resume().on("end", () => response.writeHead(202).end(JSON.stringify({ id: "op-1", state: "running" })));
  };
  utimesSync(file, new Date(1_000), new Date(1_000));
  await upload();
  expect(told).toEqual(["1970-01-01T00:00:01.000Z", "1970-01-01T00:00:02.000Z"]);
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

describe("out of a pipe", () => {
  const SILENCE_MS = 200;
  const nobody = { code: "UNAVAILABLE", message: expect.stringContaining("silent for 0.2 s") };
  const client = () => new ApiClient({ socket: join(directory, "api") }, SILENCE_MS);
  const pipe = (content: Readable) => uploadStream(client(), { path: "/content", content, stated: {} }, () => {});

  it("waits for a source that pauses, and for the answer no longer than for any", async () => {
    const content = new PassThrough();
    take = (request, response) => {
      if (request.method === "PUT") request.resume().on("end", () => response.end(JSON.stringify({ id: "op-1" })));
    };
    const first = pipe(content);
    content.write("a");
    // one after the other, each begun later, the API stays silent for longer than a client bears
    for (let round = 0; round < 3; round++) await expect(client().get("/silent")).rejects.toMatchObject(nobody);
    content.end("b");
    expect(await first).toEqual({ id: "op-1" });

    take = (request) => void request.resume();
    const later = new PassThrough();
    const second = expect(pipe(later)).rejects.toMatchObject(nobody);
    later.write("a");
    for (let round = 0; round < 2; round++) await expect(client().get("/silent")).rejects.toMatchObject(nobody);
    later.end("b");
    await second;
  });

  it("gives up when the API takes nothing", async () => {
    take = () => {};
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65_536));
      },
    });
    await expect(pipe(endless)).rejects.toMatchObject(nobody);
    expect(endless.destroyed).toBe(true);
  });

  it("lets go of a source that has not ended once there is an answer", async () => {
    take = (_, response) => response.writeHead(409).end(JSON.stringify({ code: "EXISTS", detail: "there is one" }));
    const content = new PassThrough();
    content.write("a");
    await expect(pipe(content)).rejects.toMatchObject({ code: "EXISTS" });
    await expect.poll(() => content.destroyed).toBe(true);
    const connections = () => new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
    await expect.poll(connections).toBe(0);
  });
});
