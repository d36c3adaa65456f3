import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { zstdDecompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Api } from "../../../src/http/api/api.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { startApi } from "../../../src/http/api/start-api.ts";
import { ApiWorld, PATIENT } from "./api-world.ts";

const LOCAL = { localCaller: { name: "local", grants: [{ role: "admin" as const }] } };
const PATH = "/v1/projects/default/images/golden";
const SIZE = 1024 * 1024;

let world: ApiWorld;
let api: Api;
let content: Buffer;
let id: string;

const get = (query = "", headers: Record<string, string> = {}, method = "GET") =>
  api.request(`${PATH}/content${query}`, { method, headers }, LOCAL);
const bytes = async (answer: Response) => Buffer.from(await answer.arrayBuffer());
const usersOf = () => world.appliance.runner.usersOf(id);

beforeEach(async () => {
  world = await ApiWorld.start();
  api = createApi(world.parts, world.gate);
  const body = JSON.stringify({ name: "golden", path: "/import/golden.raw", format: "raw" });
  const headers = { "Content-Type": "application/json" };
  await api.request("/v1/projects/default/images", { method: "POST", headers, body }, LOCAL);
  // over: until then it holds the image
  const { runner } = world.appliance;
  expect((await runner.settled(runner.list()[0]!.id)).state).toBe("done");
  id = world.appliance.images.get("default", "golden").id;
  content = world.world.images.bytes("image", id);
  expect(content.length).toBe(SIZE);
});
afterEach(() => world.end());

describe("a download", () => {
  it("is the whole image, with what tells it from others", async () => {
    const answer = await get();
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "accept-ranges": "bytes",
      "content-disposition": 'attachment; filename="golden.raw"',
      "content-length": String(SIZE),
      "content-type": "application/octet-stream",
      "repr-digest": `sha-256=:${Buffer.alloc(32).toString("base64")}:`,
      etag: `"${id}.raw.none"`,
    });
    expect((await bytes(answer)).equals(content)).toBe(true);
    await expect.poll(usersOf, PATIENT).toEqual([]);
  });

  it.each([
    ["bytes=0-0", 0, 1],
    ["bytes=1000-", 1000, SIZE],
    ["bytes=-10", SIZE - 10, SIZE],
    ["bytes=5-9999999999", 5, SIZE],
  ])("of %s is that part", async (range, first, end) => {
    const answer = await get("", { Range: range });
    expect(answer.status).toBe(206);
    expect(answer.headers.get("Content-Range")).toBe(`bytes ${first}-${end - 1}/${SIZE}`);
    expect((await bytes(answer)).equals(content.subarray(first, end))).toBe(true);
  });

  it("of several ranges has them all", async () => {
    const answer = await get("", { Range: "bytes=0-9,500-509" });
    expect(answer.headers.get("Content-Type")).toMatch(/^multipart\/byteranges/);
    const text = (await bytes(answer)).toString("latin1");
    expect(text.length).toBe(Number(answer.headers.get("Content-Length")));
    expect(text).toContain(content.subarray(0, 10).toString("latin1"));
    expect(text).toContain(content.subarray(500, 510).toString("latin1"));
    await expect.poll(usersOf, PATIENT).toEqual([]);
  });

  it("goes on only with the same content", async () => {
    const range = { Range: "bytes=10-" };
    expect((await get("", { ...range, "If-Range": `"${id}.raw.none"` })).status).toBe(206);
    expect((await get("", { ...range, "If-Range": '"another"' })).status).toBe(200);
    expect((await get("", { "If-None-Match": `"${id}.raw.none"` })).status).toBe(304);
    const beyond = await get("", { Range: `bytes=${SIZE}-` });
    expect([beyond.status, beyond.headers.get("Content-Range")]).toEqual([416, `bytes */${SIZE}`]);
  });

  it("asked for with HEAD fetches nothing", async () => {
    const read = vi.spyOn(world.world.images, "read");
    const answer = await get("", {}, "HEAD");
    expect([answer.status, answer.headers.get("Content-Length")]).toEqual([200, String(SIZE)]);
    expect(read).not.toHaveBeenCalled();
  });

  it("comes packed, all of it", async () => {
    const answer = await get("?compression=zst", { Range: "bytes=0-9" });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("Content-Length")).toBeNull();
    expect(answer.headers.get("Accept-Ranges")).toBe("none");
    expect(answer.headers.get("Content-Disposition")).toBe('attachment; filename="golden.raw.zst"');
    expect(zstdDecompressSync(await bytes(answer)).equals(content)).toBe(true);
  });

  it("says what is wrong before it begins", async () => {
    Object.assign(world.world.images, {
      read: async () => {
        throw new ApplianceError("UNAVAILABLE", "Ceph can't be reached");
      },
    });
    expect((await get()).status).toBe(503);
    expect(usersOf()).toEqual([]);
    expect((await get("?format=vmdk")).status).toBe(400);
  });

  it("keeps the image from removal, and lets go when the client goes away", async () => {
    const answer = await get();
    const refused = await api.request(PATH, { method: "DELETE" }, LOCAL);
    expect(await refused.json()).toMatchObject({ code: "IN_USE", usedBy: [{ kind: "download", name: "by local" }] });
    await answer.body?.cancel();
    await expect.poll(usersOf, PATIENT).toEqual([]);
    expect((await api.request(PATH, { method: "DELETE" }, LOCAL)).status).toBe(202);
  });
});

describe("a download as qcow2", () => {
  const QCOW2 = "?format=qcow2";

  it("is laid out as the store says, and has no date and no checksum of the raw content", async () => {
    const { sizeBytes, digest } = await world.world.images.layout(id);
    const answer = await get(QCOW2);
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "accept-ranges": "bytes",
      "content-disposition": 'attachment; filename="golden.qcow2"',
      "content-length": String(sizeBytes),
      etag: `"${id}.qcow2.${digest}"`,
    });
    expect(answer.headers.has("Last-Modified")).toBe(false);
    expect(answer.headers.has("Repr-Digest")).toBe(false);
    const file = await bytes(answer);
    expect(file.length).toBe(sizeBytes);
    expect(file.subarray(0, 4).toString("latin1")).toBe("QFI\xfb");
    expect(file.subarray(-SIZE).equals(content)).toBe(true);
    await expect.poll(usersOf, PATIENT).toEqual([]);
  });

  it("has the same bytes in parts", async () => {
    const whole = await bytes(await get(QCOW2));
    for (const [first, last] of [
      [0, 0],
      [70_000, 500_000],
      [whole.length - 10, whole.length - 1],
    ] as const) {
      const answer = await get(QCOW2, { Range: `bytes=${first}-${last}` });
      expect([answer.status, answer.headers.get("Content-Range")]).toEqual([
        206,
        `bytes ${first}-${last}/${whole.length}`,
      ]);
      expect((await bytes(answer)).equals(whole.subarray(first, last + 1))).toBe(true);
    }
    const several = (await bytes(await get(QCOW2, { Range: "bytes=0-9,900000-900009" }))).toString("latin1");
    expect(several).toContain(whole.subarray(0, 10).toString("latin1"));
    expect(several).toContain(whole.subarray(900_000, 900_010).toString("latin1"));
    expect((await get(QCOW2, { Range: `bytes=${whole.length}-` })).status).toBe(416);
  });

  it("goes on only where it is laid out the same, whatever the date", async () => {
    const { headers } = await get(QCOW2, {}, "HEAD");
    const etag = headers.get("ETag") as string;
    const range = { Range: "bytes=10-" };
    expect((await get(QCOW2, { ...range, "If-Range": etag })).status).toBe(206);
    expect((await get(QCOW2, { "If-None-Match": etag })).status).toBe(304);
    const value = {
      ...world.appliance.images.get("default", "golden"),
      createdAt: world.appliance.clock.now() - 60_000,
    };
    await world.appliance.records.commit([{ collection: "images", key: id, value }]);
    const made = new Date(value.createdAt).toUTCString();
    for (const date of [made, new Date(world.appliance.clock.now()).toUTCString()]) {
      expect((await get(QCOW2, { ...range, "If-Range": date })).status).toBe(200);
    }
    const { images } = world.world;
    const text = images.contents.get(`image/${id}`) as string;
    images.files.set(text, Buffer.concat([content.subarray(SIZE / 2), Buffer.alloc(SIZE / 2)]));
    expect((await get(QCOW2, { ...range, "If-Range": etag })).status).toBe(200);
    expect((await get(QCOW2, { "If-Match": etag })).status).toBe(412);
  });

  it("asked for with HEAD reads nothing", async () => {
    const read = vi.spyOn(world.world.images, "read");
    const answer = await get(QCOW2, {}, "HEAD");
    expect([answer.status, Number(answer.headers.get("Content-Length"))]).toEqual([
      200,
      (await world.world.images.layout(id)).sizeBytes,
    ]);
    expect(read).not.toHaveBeenCalled();
  });

  it("says what is wrong before it begins, and keeps the image from removal meanwhile", async () => {
    const packed = await get(`${QCOW2}&compression=zst`);
    expect(packed.status).toBe(400);
    expect(await packed.json()).toMatchObject({ code: "INVALID", field: "compression", value: "zst" });
    const answer = await get(QCOW2);
    expect(usersOf()).toHaveLength(1);
    await answer.body?.cancel();
    await expect.poll(usersOf, PATIENT).toEqual([]);
    Object.assign(world.world.images, {
      layout: async () => {
        throw new ApplianceError("UNAVAILABLE", "Ceph can't be reached");
      },
    });
    expect((await get(QCOW2)).status).toBe(503);
    expect(usersOf()).toEqual([]);
  });
});

describe("a download over a socket", () => {
  it("stands still with its client, and ends with it", async () => {
    let fetched = 0;
    Object.assign(world.world.images, {
      read: async () =>
        new Readable({
          highWaterMark: 64 * 1024,
          read() {
            fetched += 1;
            this.push(Buffer.alloc(64 * 1024));
          },
        }),
    });
    const running = await startApi(world.parts);
    try {
      const asked = request({ socketPath: join(world.directory, "api.sock"), path: `${PATH}/content` }).end();
      const [answer] = await once(asked, "response");
      answer.pause();
      answer.on("error", () => {});
      const closed = new Promise((resolve) => answer.on("close", resolve));
      let before = -1;
      await expect
        .poll(
          () => {
            const stands = fetched > 0 && fetched === before;
            before = fetched;
            return stands;
          },
          { interval: 200, timeout: 20_000 },
        )
        .toBe(true);
      expect(fetched).toBeLessThan(100);
      expect(usersOf()).toHaveLength(1);
      asked.destroy();
      await closed;
      await expect.poll(usersOf, PATIENT).toEqual([]);
    } finally {
      await running.stop();
    }
  });
});
