import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { removeProject } from "../../../src/operations/remove-project.ts";
import type { UploadRecord } from "../../../src/operations/uploads.ts";
import { nothingLeftBehind } from "../operations/world.ts";
import { ApiWorld, LOCAL, PATIENT } from "./api-world.ts";

const RAW = { format: "raw", compression: "none", phonesHome: false } as const;
const CONTENT = Buffer.alloc(1000, "content");
const BASE = "/v1/projects/default";

let world: ApiWorld;
let api: Api;

beforeEach(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
});
afterEach(() => world.end());

/** Sends what comes, without saying how much it will be. */
async function putChunked(body: ReadableStream | Buffer, query = "format=raw", name = "golden", project = "default") {
  const request = new Request(`http://ingot/v1/projects/${project}/images/${name}/content?${query}`, {
    method: "PUT",
    headers: { "Transfer-Encoding": "chunked" },
    body,
    duplex: "half",
  } as RequestInit);
  const response = await api.request(request, undefined, LOCAL);
  // biome-ignore lint/suspicious/noExplicitAny: answers are judged by their content
  return { status: response.status, answer: (await response.json()) as any };
}

type Asked = { name?: string; query?: string; range?: string; body?: Buffer };

async function put({ name = "golden", query = "format=raw", range, body }: Asked) {
  const headers: Record<string, string> = { "Content-Length": String(body?.length ?? 0) };
  if (range !== undefined) headers["Content-Range"] = range;
  const path = `${BASE}/images/${encodeURIComponent(name)}/content?${query}`;
  const response = await api.request(path, { method: "PUT", headers, ...(body ? { body } : {}) }, LOCAL);
  // biome-ignore lint/suspicious/noExplicitAny: answers are judged by their content
  return { status: response.status, answer: (await response.json()) as any };
}

const piece = (from: number, to: number) => ({
  range: `bytes ${from}-${to - 1}/1000`,
  body: CONTENT.subarray(from, to),
});
const get = async (path: string) => (await api.request(`${BASE}${path}`, {}, LOCAL)).json();
const uploads = () => [...world.appliance.records.collection<UploadRecord>("uploads").values()];
const spool = () =>
  existsSync(world.appliance.incoming.directory) ? readdirSync(world.appliance.incoming.directory) : [];

describe("an upload", () => {
  it("in one piece becomes an image, and leaves nothing", async () => {
    const { status, answer } = await put({ body: CONTENT });
    expect(status).toBe(202);
    expect((await world.appliance.runner.settled(answer.id)).state).toBe("done");
    expect(await get("/images/golden")).toMatchObject({
      ready: true,
      origin: { source: "upload", format: "raw", compression: "none" },
    });
    expect(spool()).toEqual([]);
    nothingLeftBehind(world.appliance, world.world);
  });

  it("in pieces tells how far it is, and goes on from there", async () => {
    expect(await put({ range: "bytes */1000" })).toMatchObject({
      status: 200,
      answer: { receivedBytes: 0, sizeBytes: 1000 },
    });
    expect(await put(piece(0, 400))).toMatchObject({ status: 200, answer: { receivedBytes: 400 } });
    expect(await put({ range: "bytes */1000" })).toMatchObject({ status: 200, answer: { receivedBytes: 400 } });
    expect(await get("/uploads")).toMatchObject([{ name: "golden", receivedBytes: 400 }]);
    expect(await put(piece(500, 1000))).toMatchObject({
      status: 409,
      answer: { code: "CONFLICT", value: 400, remedy: "go on with bytes 400-" },
    });
    const file = world.appliance.incoming.path(uploads()[0]!.id);
    expect(readFileSync(file).equals(CONTENT.subarray(0, 400))).toBe(true);
    const { status, answer } = await put(piece(400, 1000));
    expect(status).toBe(202);
    await world.appliance.runner.settled(answer.id);
    nothingLeftBehind(world.appliance, world.world);
  });

  it("begins anew with a piece that begins at 0", async () => {
    await put(piece(0, 400));
    expect(await put(piece(0, 300))).toMatchObject({ status: 200, answer: { receivedBytes: 300 } });
  });

  it("keeps what came before a connection broke", async () => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array(CONTENT.subarray(0, 600)));
      },
      pull(controller) {
        controller.error(new Error("connection reset"));
      },
    });
    const request = new Request(`http://ingot${BASE}/images/golden/content?format=raw`, {
      method: "PUT",
      headers: { "Content-Range": "bytes 0-999/1000" },
      body,
      duplex: "half",
    } as RequestInit);
    await api.request(request, undefined, LOCAL);
    expect(await get("/uploads/golden")).toMatchObject({ receivedBytes: 600 });
    expect((await put(piece(600, 1000))).status).toBe(202);
  });

  it("is one file: another length, format or checksum does not go on with it", async () => {
    await put(piece(0, 400));
    for (const other of [
      { range: "bytes */2000" },
      { query: "format=qcow2", range: "bytes */1000" },
      { query: `format=raw&sha256=${"0".repeat(64)}`, range: "bytes */1000" },
    ]) {
      expect(await put(other)).toMatchObject({ status: 409, answer: { code: "CONFLICT" } });
    }
  });

  it("is one state of its file, where its senders tell when that was changed", async () => {
    const changed = (at: string) => ({ query: `format=raw&modifiedAt=${at}` });
    const [monday, tuesday] = ["2026-11-23T08:00:00.000Z", "2026-11-24T08:00:00.000Z"].map(changed);
    await put({ ...monday, ...piece(0, 400) });
    const other = await put({ ...tuesday, ...piece(400, 1000) });
    expect(other).toMatchObject({ status: 409, answer: { code: "CONFLICT", field: "modifiedAt" } });
    expect(await put({ ...changed("yesterday"), range: "bytes */1000" })).toMatchObject({ status: 400 });
    expect(await put({ ...monday, ...piece(400, 600) })).toMatchObject({ answer: { receivedBytes: 600 } });
    // whoever does not know goes by the length
    expect((await put(piece(600, 1000))).status).toBe(202);
  });

  it("takes no more than was announced", async () => {
    await put(piece(0, 400));
    const long = await put({ range: "bytes 400-999/1000", body: CONTENT });
    expect(long).toMatchObject({ status: 400, answer: { field: "Content-Range" } });
    expect(await get("/uploads/golden")).toMatchObject({ receivedBytes: 400 });
  });

  it.each([
    ["a/b", 400],
    ["a@b", 400],
    ["a\nb", 400],
    ["x".repeat(300), 400],
  ])("is refused under the name %j", async (name, status) => {
    expect(await put({ name, body: CONTENT })).toMatchObject({ status, answer: { code: "INVALID", field: "name" } });
    expect(uploads()).toEqual([]);
    expect(spool()).toEqual([]);
  });

  it.each([
    ["bytes 0-9", "Content-Range"],
    ["bytes 9-0/10", "Content-Range"],
    ["bytes 0-10/10", "Content-Range"],
    ["items 0-9/10", "Content-Range"],
    ["bytes */0", "Content-Length"],
  ])("is refused with the range %s", async (range, field) => {
    expect(await put({ range })).toMatchObject({ status: 400, answer: { code: "INVALID", field } });
    expect(uploads()).toEqual([]);
  });

  it("is refused where there is no room for it, or an image of its name", async () => {
    expect(await put({ range: `bytes */${1024 ** 2 + 1}` })).toMatchObject({
      status: 507,
      answer: { code: "POOL_FULL", field: "pool.incoming" },
    });
    await put({ name: "first", range: `bytes */${1024 ** 2}` });
    expect((await put({ range: "bytes */1" })).status).toBe(507);
    await api.request(`${BASE}/uploads/first`, { method: "DELETE" }, LOCAL);
    const { answer } = await put({ body: CONTENT });
    await world.appliance.runner.settled(answer.id);
    expect(await put({ body: CONTENT })).toMatchObject({ status: 409, answer: { code: "EXISTS" } });
  });

  it("can be given up", async () => {
    await put(piece(0, 400));
    expect((await api.request(`${BASE}/uploads/golden`, { method: "DELETE" }, LOCAL)).status).toBe(204);
    expect(await get("/uploads/golden")).toMatchObject({ code: "NOT_FOUND" });
    expect(spool()).toEqual([]);
  });

  it("expires when nobody goes on with it, and strange files go too", async () => {
    await put(piece(0, 400));
    writeFileSync(world.appliance.incoming.path("img-000000000000"), "left by a crash");
    await world.parts.uploads.sweep();
    expect(spool()).toEqual([uploads()[0]!.id]);
    const old = new Date(Date.now() - world.appliance.config.pool.incoming.expireSeconds * 1000 - 1000);
    utimesSync(world.appliance.incoming.path(uploads()[0]!.id), old, old);
    await world.parts.uploads.sweep();
    expect(uploads()).toEqual([]);
    expect(spool()).toEqual([]);
  });
});

describe("an upload of unknown length", () => {
  /** Pieces of a kilobyte, and then the end, or a failure. */
  const stream = (pieces: number, failure?: Error) =>
    new ReadableStream({
      pull(controller) {
        if (pieces-- > 0) controller.enqueue(new Uint8Array(1024));
        else if (failure) controller.error(failure);
        else controller.close();
      },
    });
  /** So many bytes, and then nothing for ever. */
  const halting = (bytes: number) =>
    new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(bytes)) });
  const nothingLeft = () => {
    expect(uploads()).toEqual([]);
    expect(spool()).toEqual([]);
    nothingLeftBehind(world.appliance, world.world);
  };

  it("becomes an image where its body ends", async () => {
    const { status, answer } = await putChunked(stream(20));
    expect(status).toBe(202);
    expect((await world.appliance.runner.settled(answer.id)).state).toBe("done");
    expect(await get("/images/golden")).toMatchObject({ ready: true, origin: { source: "upload" } });
    nothingLeft();
  });

  it("may fill all the room that there is, and is dropped with the byte after that", async () => {
    const { status, answer } = await putChunked(stream(1024));
    expect(status).toBe(202);
    await world.appliance.runner.settled(answer.id);
    await api.request(`${BASE}/images/golden`, { method: "DELETE" }, LOCAL);
    await expect.poll(() => get("/images"), PATIENT).toEqual([]);
    expect(await putChunked(stream(1025))).toMatchObject({ status: 507, answer: { code: "POOL_FULL" } });
    nothingLeft();
  });

  it("is no longer than an image may be", async () => {
    world.appliance.config.pool.maxImageBytes = 4096;
    expect(await putChunked(stream(5))).toMatchObject({ status: 400, answer: { code: "INVALID", field: "body" } });
    nothingLeft();
    expect((await putChunked(stream(4))).status).toBe(202);
  });

  it("is dropped when its connection breaks, and when nothing came", async () => {
    await putChunked(stream(3, new Error("connection reset")));
    nothingLeft();
    expect(await putChunked(stream(0))).toMatchObject({ status: 400, answer: { code: "INVALID", field: "body" } });
    nothingLeft();
  });

  it("shows while it comes, and one that begins anew ends it", async () => {
    const first = putChunked(halting(10));
    await expect.poll(() => get("/uploads"), PATIENT).toMatchObject([{ name: "golden", receivedBytes: 10 }]);
    expect(await get("/uploads")).not.toMatchObject([{ sizeBytes: expect.anything() }]);
    expect(await put(piece(0, 400))).toMatchObject({ status: 409, answer: { field: "sizeBytes" } });
    expect((await putChunked(stream(2))).status).toBe(202);
    expect(await first).toMatchObject({ status: 409, answer: { code: "CONFLICT" } });
  });

  it("expires when nothing comes for long, and its sender is told of the limit", async () => {
    const sent = putChunked(halting(10));
    await expect.poll(() => get("/uploads"), PATIENT).toMatchObject([{ receivedBytes: 10 }]);
    await world.parts.uploads.sweep();
    expect(uploads()).toHaveLength(1);
    utimesSync(world.appliance.incoming.path(uploads()[0]!.id), 1, 1);
    await world.parts.uploads.sweep();
    expect(await sent).toMatchObject({
      answer: { code: "TIMEOUT", field: "pool.incoming.expireSeconds", value: 86_400, remedy: expect.any(String) },
    });
    nothingLeft();
  });

  it("is cut off when its project is removed, and becomes no image there", async () => {
    const { projects } = world.appliance;
    await projects.add({ name: "lab" }, "test");
    const sent = putChunked(halting(10), "format=raw", "golden", "lab");
    await expect.poll(uploads, PATIENT).toHaveLength(1);
    expect((await api.request("/v1/projects/lab", { method: "DELETE" }, LOCAL)).status).toBe(204);
    // cut off in the middle, or before its first byte was looked at
    expect(await sent).toMatchObject({ answer: { code: expect.stringMatching(/^(CONFLICT|NOT_FOUND)$/) } });
    nothingLeft();
    await projects.add({ name: "lab" }, "test");
    const begun = { ...RAW, project: "lab", name: "golden" };
    const beginning = expect(world.parts.uploads.begin(begun, "test")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await removeProject(world.appliance, world.parts.uploads, "lab");
    await beginning;
    nothingLeft();
  });

  it("that a crash broke off is dropped at the next start", async () => {
    await world.parts.uploads.begin({ project: "default", name: "golden", ...RAW }, "test");
    await put({ name: "other", ...piece(0, 400) });
    await world.parts.uploads.start();
    expect(await get("/uploads")).toMatchObject([{ name: "other", receivedBytes: 400 }]);
    await world.parts.uploads.stop();
  });

  it("that a crash broke off keeps nobody from starting, where its folder is none any more", async () => {
    const { directory } = world.appliance.incoming;
    await world.parts.uploads.begin({ project: "default", name: "golden", ...RAW }, "test");
    await world.parts.uploads.begin({ project: "default", name: "other", sizeBytes: 10, ...RAW }, "test");
    rmSync(directory, { recursive: true, force: true });
    writeFileSync(directory, "");
    await world.parts.uploads.start();
    await world.parts.uploads.stop();
    expect(uploads()).toMatchObject([{ name: "other" }]);
    await world.parts.uploads.remove("default", "other");
    expect(uploads()).toEqual([]);
    rmSync(directory);
  });
});

describe("an upload that is given up when all of it is here", () => {
  const all = async function* () {
    yield CONTENT;
  };
  const UPLOAD = { ...RAW, project: "default", name: "golden" };
  const takenAway = { code: "CONFLICT", message: expect.stringContaining("given up") };
  const receiveAll = () => world.parts.uploads.receiveAll("default", "golden", all(), "test");
  afterEach(() => void vi.restoreAllMocks());

  /** Holds the sync of the next file until it is let go. */
  async function holdSync() {
    const probe = await open(world.directory);
    const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    vi.spyOn(Object.getPrototypeOf(probe), "datasync").mockImplementationOnce(() => {
      begun.resolve();
      return held.promise;
    });
    await probe.close();
    return { begun: begun.promise, letGo: held.resolve };
  }

  it("while it is synced, is imported no more", async () => {
    await world.parts.uploads.begin(UPLOAD, "test");
    const sync = await holdSync();
    const sent = expect(receiveAll()).rejects.toMatchObject(takenAway);
    await sync.begun;
    const removed = world.parts.uploads.remove("default", "golden");
    sync.letGo();
    await Promise.all([sent, removed]);
    expect(world.appliance.runner.list()).toEqual([]);
    expect(spool()).toEqual([]);
    nothingLeftBehind(world.appliance, world.world);
  });

  it("while it is synced, for one that begins anew, leaves the name to that", async () => {
    await world.parts.uploads.begin(UPLOAD, "test");
    const sync = await holdSync();
    const first = expect(receiveAll()).rejects.toMatchObject(takenAway);
    await sync.begun;
    const second = receiveAll();
    sync.letGo();
    await first;
    expect((await world.appliance.runner.settled((await second).id)).state).toBe("done");
    nothingLeftBehind(world.appliance, world.world);
  });

  it("while a piece of it is synced, tells whoever sent that", async () => {
    const receive = () => world.parts.uploads.receive("default", "golden", { from: 0, body: all() });
    await world.parts.uploads.begin({ ...UPLOAD, sizeBytes: CONTENT.length }, "test");
    const sync = await holdSync();
    const first = expect(receive()).rejects.toMatchObject(takenAway);
    await sync.begun;
    const second = receive();
    sync.letGo();
    await first;
    expect(await second).toMatchObject({ receivedBytes: CONTENT.length });
  });

  it("before its import begins, is imported no more", async () => {
    await world.parts.uploads.begin({ ...UPLOAD, sizeBytes: CONTENT.length }, "test");
    await world.parts.uploads.receive("default", "golden", { from: 0, body: all() });
    const finishing = expect(world.parts.uploads.finish("default", "golden", "test")).rejects.toMatchObject(takenAway);
    await world.parts.uploads.remove("default", "golden");
    await finishing;
    expect(world.appliance.runner.list()).toEqual([]);
    expect(spool()).toEqual([]);
  });
});

describe("a folder for uploads that fails", () => {
  const named = (directory: string) => ({
    status: 503,
    answer: { code: "DRIVER_FAILED", field: "pool.incoming.directory", value: directory, remedy: expect.any(String) },
  });
  afterEach(() => void vi.restoreAllMocks());

  it.each(["EIO", "EROFS", "EACCES"])("is named, with what helps: %s", async (code) => {
    const { directory } = world.appliance.incoming;
    await put(piece(0, 400));
    const probe = await open(world.appliance.incoming.path(uploads()[0]!.id));
    const failure = Object.assign(new Error(`${code}: it fails, write`), { code, syscall: "write" });
    vi.spyOn(Object.getPrototypeOf(probe), "write").mockRejectedValue(failure);
    await probe.close();
    expect(await put(piece(400, 1000))).toMatchObject(named(directory));
    expect(await putChunked(CONTENT, "format=raw", "other")).toMatchObject(named(directory));
    expect(await get("/uploads")).toMatchObject([{ name: "golden", receivedBytes: 400 }]);
  });

  it("is named where it is none", async () => {
    const { directory } = world.appliance.incoming;
    writeFileSync(directory, "");
    expect(await put({ range: "bytes */1000" })).toMatchObject(named(directory));
    expect(await putChunked(Buffer.alloc(10))).toMatchObject(named(directory));
    expect(uploads()).toEqual([]);
    rmSync(directory);
  });
});

describe("whoever sends", () => {
  const stalled = async function* (...pieces: Buffer[]) {
    yield* pieces;
    await new Promise(() => {});
  };
  const receive = (from: number, body: AsyncIterable<Uint8Array>) =>
    world.parts.uploads.receive("default", "golden", { from, body });
  const whole = async function* (...pieces: Buffer[]) {
    yield* pieces;
  };
  const cutOff = { code: "CONFLICT", message: expect.stringContaining("another connection") };
  const arrived = (bytes: number) =>
    expect.poll(() => get("/uploads/golden"), PATIENT).toMatchObject({ receivedBytes: bytes });

  it("is cut off by the next, although no more comes from there", async () => {
    await put({ range: "bytes */1000" });
    const first = expect(receive(0, stalled(CONTENT.subarray(0, 400)))).rejects.toMatchObject(cutOff);
    await arrived(400);
    expect((await put(piece(400, 1000))).status).toBe(202);
    await first;
  });

  it("is alone, however many wait for the one before", async () => {
    await put({ range: "bytes */1000" });
    const first = expect(receive(0, stalled(CONTENT.subarray(0, 400)))).rejects.toMatchObject(cutOff);
    await arrived(400);
    const second = expect(receive(0, stalled(CONTENT.subarray(0, 300)))).rejects.toMatchObject(cutOff);
    const third = receive(0, whole(CONTENT.subarray(0, 200)));
    await Promise.all([first, second]);
    expect(await third).toMatchObject({ receivedBytes: 200 });
    expect(await get("/uploads/golden")).toMatchObject({ receivedBytes: 200 });
  });

  it("waits for nothing that was given up meanwhile", async () => {
    await put({ range: "bytes */1000" });
    const first = expect(receive(0, stalled(CONTENT.subarray(0, 400)))).rejects.toMatchObject(cutOff);
    await arrived(400);
    const removed = world.parts.uploads.remove("default", "golden");
    const second = expect(receive(0, whole(CONTENT))).rejects.toMatchObject({ code: "NOT_FOUND" });
    await Promise.all([removed, first, second]);
    expect(spool()).toEqual([]);
  });

  it("changes nothing of a file whose import begins", async () => {
    await put({ range: "bytes */1000" });
    await receive(0, whole(CONTENT));
    const finishing = world.parts.uploads.finish("default", "golden", "local");
    const late = expect(receive(0, whole(Buffer.from("other")))).rejects.toMatchObject({ code: "NOT_FOUND" });
    const { id } = await finishing;
    await late;
    expect((await world.appliance.runner.settled(id)).state).toBe("done");
    nothingLeftBehind(world.appliance, world.world);
  });
});

describe("who did not hear that the import began", () => {
  afterEach(() => void vi.useRealTimers());

  it("is told when asking again, while it runs and shortly after", async () => {
    await put(piece(0, 400));
    const { answer: begun } = await put(piece(400, 1000));
    expect(await put({ range: "bytes */1000" })).toMatchObject({ status: 202, answer: { id: begun.id } });
    await world.appliance.runner.settled(begun.id);
    expect(await put({ range: "bytes */1000" })).toMatchObject({
      status: 202,
      answer: { id: begun.id, state: "done" },
    });
    expect(uploads()).toEqual([]);
  });

  it("is told of nothing else: another file, one that is sent, or later", async () => {
    const { answer: begun } = await put({ body: CONTENT });
    await world.appliance.runner.settled(begun.id);
    const exists = { status: 409, answer: { code: "EXISTS" } };
    expect(await put({ range: "bytes */1001" })).toMatchObject(exists);
    expect(await put({ range: "bytes */1000", query: "format=qcow2" })).toMatchObject(exists);
    expect(await put({ range: "bytes */1000", query: `format=raw&sha256=${"0".repeat(64)}` })).toMatchObject(exists);
    expect(await put({ body: CONTENT })).toMatchObject(exists);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 121_000 });
    expect(await put({ range: "bytes */1000" })).toMatchObject(exists);
  });
});

it("a path that leads to others' uploads is refused", async () => {
  const path = world.appliance.incoming.path("img-1");
  const response = await api.request(
    `${BASE}/images`,
    {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: "x", path, format: "raw" }),
    },
    LOCAL,
  );
  expect(response.status).toBe(403);
});
