import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import http, { type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { assetsRoute } from "../../src/http/boot/assets.ts";
import type { BootHttp } from "../../src/http/boot/source-address.ts";
import { eventually } from "./tftp/tftp-fixture.ts";

const PORT = 21280;
const FILE = randomBytes(1_000_003);

let root: string;
let server: Server;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "ingot-assets-"));
  mkdirSync(join(root, "sub"));
  writeFileSync(join(root, "file.bin"), FILE);
  writeFileSync(join(root, "sub/with space.txt"), "text\n");
  writeFileSync(join(root, "empty"), "");
  symlinkSync("/etc/passwd", join(root, "out"));
  utimesSync(join(root, "file.bin"), 1_000_000_000, 1_000_000_000.5);
  const app = new Hono<BootHttp>();
  app.route("/assets", assetsRoute(root));
  server = serve({ fetch: app.fetch, port: PORT, hostname: "127.0.0.1" }) as Server;
  await once(server, "listening");
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(root, { recursive: true, force: true });
});

type Answer = { status: number; headers: http.IncomingHttpHeaders; body: Buffer };

/** A request exactly as written: no client library tidies the path. */
async function ask(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  const request = http.request({ host: "127.0.0.1", port: PORT, path, method, headers, agent: false }).end();
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return { status: response.statusCode!, headers: response.headers, body: Buffer.concat(parts) };
}

const run = promisify(execFile);

/** Runs curl to its end; its output. */
const curl = async (...words: string[]) =>
  (await run("curl", ["-sS", ...words], { encoding: "buffer", timeout: 20_000 })).stdout;
const URL = `http://127.0.0.1:${PORT}/assets/file.bin`;

/** How many descriptors of this process lead into the served directory. */
const openFiles = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(root);
    } catch {
      return false; // closed meanwhile
    }
  }).length;

describe("an asset", () => {
  it("is served whole, with what a client needs to ask better the next time", async () => {
    const { status, headers, body } = await ask("/assets/file.bin");
    expect(status).toBe(200);
    expect(body.equals(FILE)).toBe(true);
    expect(headers).toMatchObject({
      "content-type": "application/octet-stream",
      "content-length": String(FILE.length),
      "accept-ranges": "bytes",
      "last-modified": "Sun, 09 Sep 2001 01:46:40 GMT",
      etag: expect.stringMatching(/^"[^"]+"$/),
    });
  });

  it("answers HEAD as GET, without the body", async () => {
    const get = await ask("/assets/file.bin");
    const head = await ask("/assets/file.bin", {}, "HEAD");
    expect(head.status).toBe(200);
    expect(head.body).toHaveLength(0);
    for (const name of ["content-length", "content-type", "etag", "last-modified", "accept-ranges"]) {
      expect(head.headers[name]).toBe(get.headers[name]);
    }
    // A range is for GET alone (RFC 9110 14.2).
    expect((await ask("/assets/file.bin", { Range: "bytes=0-0" }, "HEAD")).status).toBe(200);
  });

  it("may be empty", async () => {
    expect(await ask("/assets/empty")).toMatchObject({ status: 200, headers: { "content-length": "0" } });
    expect(await ask("/assets/empty", { Range: "bytes=0-" })).toMatchObject({ status: 416 });
  });

  it("has a content type by its name", async () => {
    const { headers, body } = await ask("/assets/sub/with%20space.txt");
    expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(body.toString()).toBe("text\n");
  });

  it.each([
    ["/assets/missing", 404],
    ["/assets/sub", 404],
    ["/assets/out", 403],
    ["/assets/../../etc/passwd", 404],
    ["/assets/%2e%2e/%2e%2e/etc/passwd", 404],
    ["/assets/..%2f..%2fetc%2fpasswd", 400],
    ["/assets/sub%5c..%5cfile.bin", 400],
    ["/assets/file.bin%00", 400],
    ["/assets/%zz", 404],
    [`/assets/${"a/".repeat(600)}`, 400],
  ])("is refused without a word of ours: %s with %i", async (path, expected) => {
    const { status, body } = await ask(path);
    expect(status).toBe(expected);
    expect(body.toString()).not.toContain(root);
    expect(body.toString()).not.toContain("root:");
  });

  it("is only for reading", async () => {
    expect(await ask("/assets/file.bin", {}, "PUT")).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
    expect(await ask("/assets/file.bin", {}, "DELETE")).toMatchObject({ status: 405 });
  });
});

describe("a range of an asset", () => {
  it.each([
    ["0-0", 0, 1],
    ["100-299", 100, 300],
    ["999000-", 999_000, FILE.length],
    ["-1000", FILE.length - 1000, FILE.length],
    ["0-99999999", 0, FILE.length],
  ])("comes as asked by curl: %s", async (range, from, to) => {
    const [head = "", ...rest] = (await curl("-D", "-", "-r", range, URL)).toString("latin1").split("\r\n\r\n");
    expect(head).toContain("206 Partial Content");
    expect(head).toContain(`Content-Range: bytes ${from}-${to - 1}/${FILE.length}`);
    expect(head).toContain(`Content-Length: ${to - from}`);
    expect(Buffer.from(rest.join("\r\n\r\n"), "latin1").equals(FILE.subarray(from, to))).toBe(true);
  });

  it("continues a download that curl has begun", async () => {
    const to = join(root, "resumed");
    writeFileSync(to, FILE.subarray(0, 400_000));
    await curl("-C", "-", "-o", to, URL);
    expect(readFileSync(to).equals(FILE)).toBe(true);
  });

  it("comes with others as multipart/byteranges", async () => {
    const { status, headers, body } = await ask("/assets/file.bin", { Range: "bytes=500-509,0-4,-3" });
    expect(status).toBe(206);
    expect(headers["content-range"]).toBeUndefined();
    expect(headers["content-length"]).toBe(String(body.length));
    const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(headers["content-type"]!)![1]!;
    const text = body.toString("latin1");
    expect(text.endsWith(`\r\n--${boundary}--\r\n`)).toBe(true);
    const parts = text
      .split(`\r\n--${boundary}`)
      .slice(1, -1)
      .map((part) => {
        const end = part.indexOf("\r\n\r\n");
        return { head: part.slice(2, end).split("\r\n"), bytes: Buffer.from(part.slice(end + 4), "latin1") };
      });
    const size = FILE.length;
    const expected = [
      [500, 510],
      [0, 5],
      [size - 3, size],
    ] as const;
    expect(parts).toEqual(
      expected.map(([from, to]) => ({
        head: ["Content-Type: application/octet-stream", `Content-Range: bytes ${from}-${to - 1}/${size}`],
        bytes: FILE.subarray(from, to),
      })),
    );
  });

  it("outside of the file is 416 with its size", async () => {
    const { status, headers } = await ask("/assets/file.bin", { Range: "bytes=2000000-" });
    expect([status, headers["content-range"]]).toEqual([416, `bytes */${FILE.length}`]);
  });

  it("counts only for the state that If-Range names", async () => {
    const { headers } = await ask("/assets/file.bin", {}, "HEAD");
    const status = async (ifRange: string) =>
      (await ask("/assets/file.bin", { Range: "bytes=0-9", "If-Range": ifRange })).status;
    expect(await status(headers.etag!)).toBe(206);
    expect(await status('"another"')).toBe(200);
    expect(await status(headers["last-modified"]!)).toBe(206);
    expect(await status("Sun, 09 Sep 2001 01:46:39 GMT")).toBe(200);
  });
});

describe("a conditional request of an asset", () => {
  it("is 304 without a body while nothing changed", async () => {
    const { headers } = await ask("/assets/file.bin", {}, "HEAD");
    const byTag = await ask("/assets/file.bin", { "If-None-Match": headers.etag! });
    expect([byTag.status, byTag.body.length, byTag.headers.etag]).toEqual([304, 0, headers.etag]);
    const byDate = await ask("/assets/file.bin", { "If-Modified-Since": headers["last-modified"]! });
    expect(byDate.status).toBe(304);
    const head = await ask("/assets/file.bin", { "If-None-Match": headers.etag! }, "HEAD");
    expect(head.status).toBe(304);
  });

  it("is 412 when it asks for another state", async () => {
    expect((await ask("/assets/file.bin", { "If-Match": '"another"' })).status).toBe(412);
    const stale = { "If-Unmodified-Since": "Sun, 09 Sep 2001 01:46:39 GMT" };
    expect((await ask("/assets/file.bin", stale)).status).toBe(412);
  });

  it("sees a file replaced by one of the same size and time", async () => {
    const etag = async () => (await ask("/assets/twin", {}, "HEAD")).headers.etag;
    for (const name of ["twin", "twin-2"]) {
      writeFileSync(join(root, name), name.slice(0, 4));
      utimesSync(join(root, name), 1_000_000_000, 1_000_000_000);
    }
    const before = await etag();
    renameSync(join(root, "twin-2"), join(root, "twin"));
    expect(await etag()).not.toBe(before);
  });
});

describe("the asset server", () => {
  it("sends a file that no buffer holds to slow readers, one request after the other on their connections", async () => {
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    const large = randomBytes(24_000_001);
    writeFileSync(join(root, "large"), large);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 3 });
    const fetchSlowly = async (headers: Record<string, string>) => {
      const request = http.get({ host: "127.0.0.1", port: PORT, path: "/assets/large", agent, headers });
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      const parts: Buffer[] = [];
      for await (const part of response) {
        parts.push(part as Buffer);
        if (parts.length % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      return Buffer.concat(parts);
    };
    const ranges = [undefined, "bytes=5000000-", "bytes=1-15000000", undefined, "bytes=3000000-23999999", undefined];
    const bodies = await Promise.all(ranges.map((range) => fetchSlowly(range ? { Range: range } : {})));
    for (const [index, body] of bodies.entries()) {
      const [first = 0, last = large.length - 1] = (ranges[index]?.match(/\d+/g) ?? []).map(Number);
      expect(body.equals(large.subarray(first, last + 1))).toBe(true);
    }
    agent.destroy();
    await eventually("all descriptors closed", () => descriptors() <= before);
  });

  it("cuts a client off that takes a piece too slowly, while others are served", async () => {
    writeFileSync(join(root, "piece"), randomBytes(8_000_000));
    const app = new Hono<BootHttp>().route("/assets", assetsRoute(root, 300));
    const hasty = serve({ fetch: app.fetch, port: PORT + 1, hostname: "127.0.0.1" }) as Server;
    await once(hasty, "listening");
    const request = http.get({ host: "127.0.0.1", port: PORT + 1, path: "/assets/piece", agent: false });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    const cut = once(response, "error");
    const drip = setInterval(() => response.read(1), 20);
    const others = ["-o", "/dev/null", "-w", "%{size_download}", `http://127.0.0.1:${PORT + 1}/assets/piece`];
    expect((await curl(...others)).toString()).toBe("8000000");
    await eventually("the file closed", () => openFiles() === 0);
    response.resume();
    expect(await cut).toMatchObject([{ code: "ECONNRESET" }]);
    clearInterval(drip);
    await new Promise((resolve) => hasty.close(resolve));
  });

  it("closes the file when clients go away", async () => {
    // Node closes a forgotten file at the next garbage collection, and says so.
    const warnings: string[] = [];
    const onWarning = (warning: Error) => warnings.push(warning.message);
    process.on("warning", onWarning);
    writeFileSync(join(root, "huge"), "");
    truncateSync(join(root, "huge"), 2 ** 31);
    const requests = Array.from({ length: 20 }, () =>
      http.get({ host: "127.0.0.1", port: PORT, path: "/assets/huge", agent: false }),
    );
    await Promise.all(
      requests.map(async (request) => {
        const [response] = (await once(request, "response")) as [http.IncomingMessage];
        await once(response, "data");
      }),
    );
    expect(openFiles()).toBeGreaterThan(0);
    for (const request of requests) request.destroy();
    await eventually("all files closed", () => openFiles() === 0);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it("cuts the connection when a file becomes shorter, so that no part passes for the whole", async () => {
    const path = join(root, "shrinking");
    writeFileSync(path, "");
    truncateSync(path, 2 ** 30);
    const agent = new http.Agent({ keepAlive: true }); // otherwise the end of the answer closes the connection anyway
    const request = http.get({ host: "127.0.0.1", port: PORT, path: "/assets/shrinking", agent });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    truncateSync(path, 10);
    const reading = (async () => {
      for await (const _ of response);
    })();
    await expect(reading).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(response.complete).toBe(false);
    await eventually("all files closed", () => openFiles() === 0);
  });

  it("serves on after all that, over one connection", async () => {
    const times = 50;
    const out = await curl(
      "-w",
      "%{num_connects}\n",
      ...Array.from({ length: times }, () => ["-o", "/dev/null", URL]).flat(),
    );
    expect(
      out
        .toString()
        .trim()
        .split("\n")
        .map(Number)
        .reduce((sum, one) => sum + one),
    ).toBe(1);
  });
});
