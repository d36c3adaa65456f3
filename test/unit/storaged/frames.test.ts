import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ReadRequest } from "../../../src/drivers/images/image-store.ts";
import { createLog } from "../../../src/log.ts";
import { createStorageClient, type StorageClient } from "../../../src/storaged/client.ts";
import { framed } from "../../../src/storaged/frames.ts";
import { createStorageServer } from "../../../src/storaged/server.ts";
import { storageVerbs } from "../../../src/storaged/verbs.ts";
import { MemoryImageExchange } from "../../fakes/memory-image-exchange.ts";
import { MemoryImageStore } from "../../fakes/memory-image-store.ts";
import { MemoryPoolCatalogue } from "../../fakes/memory-pool-catalogue.ts";
import { MemoryPoolLeases } from "../../fakes/memory-pool-leases.ts";
import { MemoryPoolSpace } from "../../fakes/memory-pool-space.ts";
import { MemoryTargetServer } from "../../fakes/memory-target-server.ts";

const signal = AbortSignal.timeout(30_000);
const IMAGE = { image: "img-1" };
let directory: string;
let path: string;
let images: MemoryImageStore;
let server: Server;
let client: StorageClient;
const connections: Socket[] = [];

async function listen(one: Server): Promise<void> {
  server = one.on("connection", (socket) => connections.push(socket)).listen(path);
  await once(server, "listening");
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-frames-"));
  path = join(directory, "storaged.sock");
  images = new MemoryImageStore();
  images.contents.set("image/img-1", "golden ");
  client = createStorageClient(path);
});
afterEach(() => {
  client.close();
  for (const socket of connections.splice(0)) socket.destroy();
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

describe("bytes through storaged", () => {
  const serve = (read?: (request: ReadRequest, signal: AbortSignal) => Promise<Readable>) => {
    if (read) Object.assign(images, { read });
    const catalogue = new MemoryPoolCatalogue(images);
    const exchange = new MemoryImageExchange(images);
    const drivers = {
      images,
      catalogue,
      leases: new MemoryPoolLeases(),
      exchange,
      space: new MemoryPoolSpace(),
      targets: new MemoryTargetServer(),
    };
    return listen(
      createStorageServer(
        storageVerbs(drivers, async () => {}),
        createLog("silent"),
      ),
    );
  };

  it("come as they are, beside other calls", async () => {
    await serve();
    const [content, list] = await Promise.all([client.images.read(IMAGE, signal), client.images.list(signal)]);
    expect(list).toEqual([{ kind: "image", id: "img-1" }]);
    expect((await buffer(content)).equals(images.bytes("image", "img-1"))).toBe(true);
  });

  it("fail with the error of the driver where it refuses", async () => {
    await serve();
    await expect(client.images.read({ image: "img-2" }, signal)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(client.images.read({ ...IMAGE, range: { first: 5, last: 4 } }, signal)).rejects.toMatchObject({
      code: "INVALID",
    });
  });

  it("never pass for whole where they break off", async () => {
    await serve(async () =>
      Readable.from(
        (async function* () {
          yield Buffer.alloc(100_000, 1);
          throw new Error("the disk is gone");
        })(),
      ),
    );
    await expect(buffer(await client.images.read(IMAGE, signal))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("are fetched no further than they are taken, and no more at all once nobody wants them", async () => {
    let fetched = 0;
    const gone = Promise.withResolvers<void>();
    await serve(async () =>
      Readable.from(
        (async function* () {
          try {
            for (;;) {
              fetched += 1;
              yield Buffer.alloc(64 * 1024);
            }
          } finally {
            gone.resolve();
          }
        })(),
        { highWaterMark: 1 },
      ),
    );
    const content = await client.images.read(IMAGE, signal);
    await once(content, "readable");
    // the kernel's buffers fill up, and then nothing moves
    let before = -1;
    await expect
      .poll(
        () => {
          const stands = fetched === before;
          before = fetched;
          return stands;
        },
        { interval: 200, timeout: 20_000 },
      )
      .toBe(true);
    expect(fetched).toBeLessThan(200);
    content.destroy();
    await gone.promise;
  });

  it("end when the caller's signal says so", async () => {
    await serve(async () => new Readable({ read() {} }));
    const abort = new AbortController();
    const content = await client.images.read(IMAGE, abort.signal);
    abort.abort();
    await expect(buffer(content)).rejects.toThrow();
  });
});

it("frames cut at any byte fail, and whole ones don't", async () => {
  const content = Readable.from([Buffer.from("one"), Buffer.alloc(0), Buffer.from("and two")]);
  const frames = Buffer.concat(await Array.fromAsync(framed(content)));
  let length = 0;
  await listen(
    createServer((socket) =>
      socket.once("data", () =>
        socket.end(Buffer.concat([Buffer.from('{"id":0,"ok":null}\n'), frames.subarray(0, length)])),
      ),
    ),
  );
  for (; length < frames.length; length++) {
    const cut = client.images.read(IMAGE, signal).then(buffer);
    await expect(cut, `${length} bytes`).rejects.toMatchObject({ code: "UNAVAILABLE" });
  }
  expect((await buffer(await client.images.read(IMAGE, signal))).toString()).toBe("oneand two");
});
