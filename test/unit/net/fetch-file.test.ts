import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createAddressGuard } from "../../../src/net/address-guard.ts";
import { createFetchFile, type FetchRequest, publicUrl } from "../../../src/net/fetch-file.ts";
import { until } from "../../integration/until.ts";

const content = Buffer.alloc(300_000, "0123456789");
const ETAG = '"one"';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let answer: Answer;
let asked: { url: string; headers: IncomingMessage["headers"] }[];
let directory: string;
/** What the names of this world lead to; each look-up takes the next. */
let hosts: Record<string, string[]>;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-fetch-"));
  asked = [];
  hosts = { "files.example": ["127.0.0.1"] };
  server = createServer((request, response) => {
    asked.push({ url: request.url ?? "", headers: request.headers });
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

const at = (path: string, host = "files.example") => `http://${host}:${(server.address() as AddressInfo).port}${path}`;
const path = () => join(directory, "img-1");

function fetchIt(url: string, more: Partial<FetchRequest> = {}, allowed = ["files.example"]) {
  const guard = createAddressGuard({
    allowed: () => allowed,
    refused: () => [],
    resolve: async (host) => [(hosts[host]?.length ?? 0) > 1 ? hosts[host]!.shift()! : (hosts[host]?.[0] ?? "")],
  });
  return createFetchFile({ guard, stallSeconds: () => 0.5 })({
    url,
    path: path(),
    originPath: `${path()}.origin`,
    checkSize: async () => {},
    progress: () => {},
    signal: new AbortController().signal,
    ...more,
  });
}

/** Serves the content, in parts where it is asked for. */
const serve: Answer = (request, response) => {
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const isPart = from > 0 && request.headers["if-range"] === ETAG;
  const part = isPart ? content.subarray(from) : content;
  response.writeHead(isPart ? 206 : 200, {
    ETag: ETAG,
    "Content-Length": part.length,
    ...(isPart ? { "Content-Range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
  });
  response.end(part);
};

describe("a fetch", () => {
  it("brings the file here, and tells how far it is", async () => {
    answer = serve;
    const steps: [number, number][] = [];
    const sizes: number[] = [];
    const result = await fetchIt(at("/a.raw"), {
      progress: (done, total) => steps.push([done, total]),
      checkSize: async (bytes) => void sizes.push(bytes),
    });
    expect(result).toEqual({ sizeBytes: content.length });
    expect(readFileSync(path()).equals(content)).toBe(true);
    expect(steps.at(-1)).toEqual([content.length, content.length]);
    expect(sizes).toEqual([content.length]);
  });

  it("keeps zeros as holes", async () => {
    const sparse = Buffer.concat([Buffer.alloc(16 * 1024 ** 2), content, Buffer.alloc(16 * 1024 ** 2)]);
    answer = (_, response) => response.end(sparse);
    expect(await fetchIt(at("/a.raw"))).toEqual({ sizeBytes: sparse.length });
    expect(readFileSync(path()).equals(sparse)).toBe(true);
    expect(statSync(path()).blocks * 512).toBeLessThan(2 * 1024 ** 2);
  });

  it("goes on where a connection broke, and begins anew when the file there is another one", async () => {
    answer = (_, response) => {
      response.writeHead(200, { ETag: ETAG, "Content-Length": content.length });
      response.write(content.subarray(0, 100_000));
      const arrived = () => (statSync(path(), { throwIfNoEntry: false })?.size ?? 0) > 0;
      void until("something arrived", arrived).then(() => response.destroy());
    };
    await expect(fetchIt(at("/a.raw"))).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
    const arrived = readFileSync(path()).length;
    expect(arrived).toBeGreaterThan(0);
    answer = serve;
    await fetchIt(at("/a.raw"));
    expect(asked[1]!.headers).toMatchObject({ range: `bytes=${arrived}-`, "if-range": ETAG });
    expect(readFileSync(path()).equals(content)).toBe(true);

    const other = Buffer.alloc(1000, "other");
    answer = (_, response) => response.writeHead(200, { ETag: '"two"', "Content-Length": other.length }).end(other);
    await fetchIt(at("/a.raw"));
    expect(readFileSync(path()).equals(other)).toBe(true);
  });

  it.each([
    ["goes on by a date that was long over", 60, true],
    ["begins anew where the file may have changed twice within the second of its date", 0, false],
  ])("%s", async (_, age, goesOn) => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const dates = { Date: new Date(now).toUTCString(), "Last-Modified": new Date(now - age * 1000).toUTCString() };
    answer = (_, response) => {
      response.writeHead(200, { ...dates, "Content-Length": content.length });
      response.write(content.subarray(0, 100_000));
      const arrived = () => (statSync(path(), { throwIfNoEntry: false })?.size ?? 0) > 0;
      void until("something arrived", arrived).then(() => response.destroy());
    };
    await expect(fetchIt(at("/a.raw"))).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
    answer = (_, response) => response.writeHead(200, { "Content-Length": content.length }).end(content);
    await fetchIt(at("/a.raw"));
    expect(asked[1]!.headers["if-range"]).toBe(goesOn ? dates["Last-Modified"] : undefined);
    expect(readFileSync(path()).equals(content)).toBe(true);
  });

  it.each([
    ["a server that sends less than was asked for", 1000, (from: number) => `bytes ${from}-${from + 999}/300000`],
    ["one that says nothing of the whole's length", 0, (from: number) => `bytes ${from}-${from + 999}/*`],
    ["one that begins elsewhere", 0, () => "bytes 0-999/300000"],
  ])("never takes a part for the whole: %s", async (_case, arrives, range) => {
    writeFileSync(path(), content.subarray(0, 1000));
    writeFileSync(`${path()}.origin`, ETAG);
    answer = (_, response) => {
      response.writeHead(206, { ETag: ETAG, "Content-Length": 1000, "Content-Range": range(1000) });
      response.end(content.subarray(1000, 2000));
    };
    await expect(fetchIt(at("/a.raw"))).rejects.toMatchObject({ code: arrives ? "UNAVAILABLE" : "INVALID" });
    expect(readFileSync(path())).toEqual(content.subarray(0, arrives ? 2000 : 1000));
    answer = serve;
    await fetchIt(at("/a.raw"));
    expect(asked[1]!.headers.range).toBe(`bytes=${arrives ? 2000 : 1000}-`);
    expect(readFileSync(path()).equals(content)).toBe(true);
  });

  it("takes no more of a part than it announces", async () => {
    writeFileSync(path(), content.subarray(0, 1000));
    writeFileSync(`${path()}.origin`, ETAG);
    answer = (_, response) => {
      response.writeHead(206, { ETag: ETAG, "Content-Range": "bytes 1000-1009/1010" });
      response.end(content.subarray(1000, 3000));
    };
    await expect(fetchIt(at("/a.raw"))).rejects.toMatchObject({ code: "INVALID" });
    expect(statSync(path()).size).toBe(1000);
  });

  it.each([
    ["ENOSPC", "POOL_FULL"],
    ["EDQUOT", "POOL_FULL"],
    ["EIO", "DRIVER_FAILED"],
  ])("names the directory where a write fails: %s is %s", async (code, expected) => {
    answer = serve;
    const file = await open(path(), "a");
    await file.close();
    const failure = Object.assign(new Error(`${code}: write`), { code, syscall: "write" });
    vi.spyOn(Object.getPrototypeOf(file), "write").mockRejectedValueOnce(failure);
    await expect(fetchIt(at("/a.raw"))).rejects.toMatchObject({
      code: expected,
      details: { field: "pool.incoming.directory", value: directory, remedy: expect.any(String) },
    });
  });

  it("names the directory that it can't write to", async () => {
    await expect(fetchIt(at("/a.raw"), { path: join(directory, "absent", "img-1") })).rejects.toMatchObject({
      code: "DRIVER_FAILED",
      details: { field: "pool.incoming.directory", value: join(directory, "absent") },
    });
    expect(asked).toEqual([]);
  });

  it("follows redirects, and gives credentials to no other server", async () => {
    hosts["mirror.example"] = ["127.0.0.1"];
    answer = (request, response) => {
      if (request.url === "/b.raw") return serve(request, response);
      response.writeHead(302, { Location: at("/b.raw", "mirror.example") }).end();
    };
    const url = at("/a.raw").replace("://", "://user:pass%20word@");
    await fetchIt(url, {}, ["files.example", "mirror.example"]);
    expect(asked[0]!.headers.authorization).toBe(`Basic ${Buffer.from("user:pass word").toString("base64")}`);
    expect(asked[1]!.headers.authorization).toBeUndefined();
    expect(publicUrl(`${url}?signature=secret`)).toBe(at("/a.raw"));
  });

  it.each([
    ["a literal address", "http://127.0.0.1:1/secret"],
    ["a v4-mapped one", "http://[::ffff:127.0.0.1]:1/secret"],
    ["a name that leads inside", "http://inner.example:1/secret"],
    ["another spelling of an address", "http://0x7f.1:1/secret"],
  ])("refuses a redirect to %s, and asks nothing there", async (_, to) => {
    hosts["inner.example"] = ["169.254.169.254"];
    answer = (_request, response) => response.writeHead(302, { Location: to }).end();
    await expect(fetchIt(at("/a.raw"))).rejects.toMatchObject({ code: "FORBIDDEN" });
    expect(asked).toHaveLength(1);
  });

  it("connects to the address that was judged, although the name leads elsewhere a moment later", async () => {
    answer = serve;
    hosts["rebinding.example"] = ["127.0.0.1", "127.0.0.2"];
    await fetchIt(at("/a.raw", "rebinding.example"), {}, ["127.0.0.1"]);
    expect(readFileSync(path()).equals(content)).toBe(true);
    await expect(fetchIt(at("/a.raw", "rebinding.example"), {}, ["127.0.0.1"])).rejects.toMatchObject({
      code: "FORBIDDEN",
    });
  });

  it.each<[string, string, Answer]>([
    ["UNAVAILABLE", "nothing came for", () => {}],
    ["UNAVAILABLE", "nothing came for", (_, response) => response.writeHead(200, { "Content-Length": 10 }).write("x")],
    ["UNAVAILABLE", "answered 503", (_, response) => response.writeHead(503).end()],
    ["NOT_FOUND", "has no", (_, response) => response.writeHead(404).end()],
    ["INVALID", "answered 403", (_, response) => response.writeHead(403).end()],
    ["INVALID", "empty", (_, response) => response.writeHead(200).end()],
    ["INVALID", "packs its answer", (_, response) => response.writeHead(200, { "Content-Encoding": "gzip" }).end("x")],
    ["INVALID", "more than 5 times", (_, response) => response.writeHead(302, { Location: "/again" }).end()],
    [
      "INVALID",
      "no http or https URL",
      (_, response) => response.writeHead(302, { Location: "file:///etc/shadow" }).end(),
    ],
  ])("ends with %s: %s", async (code, message, how) => {
    answer = how;
    await expect(fetchIt(at("/a.raw"))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
      details: { field: "url", remedy: expect.any(String) },
    });
  });

  it("writes nothing of a file that there is no room for", async () => {
    answer = serve;
    const full = new Error("no room");
    const checkSize = async (bytes: number) => {
      if (bytes >= content.length) throw full;
    };
    await expect(fetchIt(at("/a.raw"), { checkSize })).rejects.toThrow();
    expect(readFileSync(path())).toHaveLength(0);
    answer = (_, response) => {
      response.writeHead(200);
      response.end(content);
    };
    await expect(fetchIt(at("/a.raw"), { checkSize })).rejects.toThrow();
  });
});

it.each(["ftp://files.example/a", "file:///etc/shadow", "not a url", "http://"])("takes no %s", async (url) => {
  await expect(fetchIt(url)).rejects.toMatchObject({ code: "INVALID", details: { field: "url" } });
});
