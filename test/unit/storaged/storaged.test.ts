import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import { createLog } from "../../../src/log.ts";
import { createDisk } from "../../../src/operations/create-disk.ts";
import { orphanDisks } from "../../../src/operations/orphan-disks.ts";
import { createStorageClient, type StorageClient } from "../../../src/storaged/client.ts";
import { readLines } from "../../../src/storaged/lines.ts";
import { MAX_REQUEST_BYTES } from "../../../src/storaged/protocol.ts";
import { createStorageServer } from "../../../src/storaged/server.ts";
import { type Call, storageVerbs, type Verb } from "../../../src/storaged/verbs.ts";
import { MemoryImageExchange } from "../../fakes/memory-image-exchange.ts";
import { MemoryImageStore } from "../../fakes/memory-image-store.ts";
import { MemoryPoolCatalogue } from "../../fakes/memory-pool-catalogue.ts";
import { MemoryPoolLeases } from "../../fakes/memory-pool-leases.ts";
import { MemoryPoolSpace } from "../../fakes/memory-pool-space.ts";
import { MemoryTargetServer } from "../../fakes/memory-target-server.ts";
import { World } from "../operations/world.ts";

let directory: string;
let path: string;
let server: Server;
let client: StorageClient;
let log: string;
const signal = AbortSignal.timeout(20_000);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-storaged-unit-"));
  path = join(directory, "s.sock");
  log = "";
  client = createStorageClient(path, { waitMs: 0 });
});
afterEach(() => {
  client.close();
  server?.close();
  rmSync(directory, { recursive: true });
});

const silent = () =>
  createLog(
    "debug",
    new Writable({
      write: (chunk, _, done) => {
        log += chunk;
        done();
      },
    }),
  );

async function serve(verbs: Record<string, Verb>): Promise<void> {
  server = createStorageServer(verbs, silent()).listen(path);
  await once(server, "listening");
}

/** The one verb that these tests call is whatever they make of it. */
const doing = (run: (args: unknown, call: Call) => Promise<unknown>) => ({ "images.usage": { run } });

describe("storaged's protocol", () => {
  it("brings results back, also none", async () => {
    const images = new MemoryImageStore();
    await serve(
      storageVerbs(
        {
          images,
          space: new MemoryPoolSpace(),
          catalogue: new MemoryPoolCatalogue(images),
          leases: new MemoryPoolLeases(),
          exchange: new MemoryImageExchange(images),
          targets: new MemoryTargetServer(),
        },
        async () => {},
      ),
    );
    expect(await client.images.backing("disk-1")).toMatchObject({ type: "file" });
    expect(await client.images.stat("disk", "disk-1", signal)).toBeUndefined();
    expect(await client.images.remove("disk", "disk-1", signal)).toBeUndefined();
  });

  it("tells the sizes of as many things as the list of orphans asks for", async () => {
    const world = new World();
    try {
      const { images, space, catalogue, poolLeases: leases, exchange, targets } = world;
      await serve(storageVerbs({ images, space, catalogue, leases, exchange, targets }, async () => {}));
      const appliance = await world.start();
      const disk = { project: "default", name: "scratch", sizeBytes: 4096 };
      await appliance.runner.settled((await createDisk(appliance, disk, "test")).id);
      const { id } = appliance.disks.get("default", "scratch");
      space.things = [{ kind: "disk", id, sizeBytes: 4096, usedBytes: 512 }];
      const orphans = await orphanDisks({ ...appliance, space: client.space }, "default");
      expect(orphans).toMatchObject([{ disk: { id }, usedBytes: 512 }]);
    } finally {
      await world.end();
    }
  });

  it("brings typed errors back with code, details and whether to try again", async () => {
    const details = { field: "disk", value: 7, remedy: "do something" };
    await serve(doing(() => Promise.reject(new ApplianceError("IN_USE", "disk: busy", { details, retryable: true }))));
    const error = await client.images.usage(signal).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ApplianceError);
    expect(error).toMatchObject({ code: "IN_USE", message: "disk: busy", details, retryable: true });
  });

  it("turns what nobody foresaw into INTERNAL, and logs its stack", async () => {
    await serve(doing(() => Promise.reject(new TypeError("undefined is not a disk"))));
    await expect(client.images.usage(signal)).rejects.toMatchObject({ code: "INTERNAL" });
    expect(log).toContain("TypeError: undefined is not a disk\\n");
  });

  it("runs calls side by side and tells their answers apart", async () => {
    const gate = Promise.withResolvers<void>();
    let calls = 0;
    await serve(doing(() => (calls++ === 0 ? gate.promise.then(() => "slow") : Promise.resolve("quick"))));
    const slow = client.images.usage(signal);
    expect(await client.images.usage(signal)).toBe("quick");
    gate.resolve();
    expect(await slow).toBe("slow");
  });

  it("tells progress before the result", async () => {
    const verbs = doing(async () => undefined);
    await serve({
      ...verbs,
      "images.import": {
        run: async (_, { progress }) => {
          progress(1, 4);
          progress(4, 4);
          return "done";
        },
      },
    });
    const seen: unknown[] = [];
    const request = { image: "img-1", path: "/x", format: "raw" } as const;
    seen.push(await client.images.import(request, (done, total) => seen.push([done, total]), signal));
    expect(seen).toEqual([[1, 4], [4, 4], "done"]);
  });

  it("waits for a cancelled call to have ended", async () => {
    let ended = false;
    const started = Promise.withResolvers<void>();
    await serve(
      doing(async (_, call) => {
        started.resolve();
        await once(call.signal, "abort");
        await new Promise(setImmediate);
        ended = true;
        throw call.signal.reason;
      }),
    );
    const abort = new AbortController();
    const running = client.images.usage(abort.signal);
    await started.promise;
    abort.abort();
    await expect(running).rejects.toMatchObject({ code: "CANCELLED" });
    expect(ended).toBe(true);
  });

  it("leaves no connection of a download that was given up before storaged was there", async () => {
    const patient = createStorageClient(path, { waitMs: 20_000 });
    const abort = new AbortController();
    const read = patient.images.read({ image: "img-1" }, abort.signal);
    abort.abort();
    await expect(read).rejects.toThrow();
    server = createServer().listen(path);
    const [socket] = (await once(server, "connection")) as [Socket];
    socket.resume();
    await once(socket, "close", { signal: AbortSignal.timeout(4000) });
    patient.close();
  });

  it("aborts the calls of a client that goes away", async () => {
    const aborted = Promise.withResolvers<unknown>();
    const started = Promise.withResolvers<void>();
    await serve(
      doing((_, call) => {
        call.signal.addEventListener("abort", () => aborted.resolve(call.signal.reason));
        started.resolve();
        return new Promise(() => {});
      }),
    );
    client.images.usage(signal).catch(() => {});
    await started.promise;
    client.close();
    expect(await aborted.promise).toMatchObject({ code: "CANCELLED" });
  });
});

describe("arguments", () => {
  const target = {
    iqn: "iqn.2026-11.org.ingot:app:disk",
    units: [{ lun: 1, disk: "disk", backing: { type: "file", path: "/d" }, readOnly: false }],
    openTo: "10.0.0.1",
    chap: { user: "u", secret: "secretsecret1" },
  };
  const images = new MemoryImageStore();
  const [space, catalogue] = [new MemoryPoolSpace(), new MemoryPoolCatalogue(images)];
  const drivers = {
    images,
    space,
    catalogue,
    leases: new MemoryPoolLeases(),
    exchange: new MemoryImageExchange(images),
    targets: new MemoryTargetServer(),
  };
  const { "targets.ensure": ensure } = storageVerbs(drivers, async () => {});
  const call = { signal, progress: () => {} };

  it("that fit are passed on", async () => {
    await ensure.run({ control: 1, target }, call);
    await ensure.run({ control: 1, target: { ...target, openTo: "iqn.2026-11.org.ingot:node-1" } }, call);
    await ensure.run(
      { control: 1, target: { ...target, chap: { ...target.chap, reverse: { user: "r", secret: "othersecret12" } } } },
      call,
    );
  });

  it.each([
    ["an address that is none", { openTo: "10.0.0.300" }],
    ["an address for all", { openTo: "ALL" }],
    ["an initiator that is no name", { openTo: "iqn.x,y" }],
    ["tgt's controller LUN", { lun: 0 }],
    ["a name with a comma", { iqn: "iqn.2026-11.org.ingot:a,b" }],
    ["a short secret", { chap: { user: "u", secret: "short" } }],
    ["a secret with a comma", { chap: { user: "u", secret: "secret,secret" } }],
    ["a user with a space", { chap: { user: "u v", secret: "secretsecret1" } }],
    ["the same secret both ways", { chap: { ...target.chap, reverse: { user: "r", secret: "secretsecret1" } } }],
    ["a key that nobody knows", { initiator: "ALL" }],
  ])("with %s are refused", async (_, change) => {
    await expect(async () => ensure.run({ control: 1, target: { ...target, ...change } }, call)).rejects.toThrow();
  });

  it("are refused with the field's name and never their value", async () => {
    await serve({ "images.usage": ensure });
    const raw = connect(path);
    const args = { control: 1, target: { ...target, chap: { user: "u", secret: "tell,nobody" } } };
    raw.write(`${JSON.stringify({ id: 1, verb: "images.usage", args })}\n`);
    const [answer] = await once(raw, "data");
    expect(JSON.parse(String(answer))).toMatchObject({
      id: 1,
      error: { code: "INVALID", details: { field: "target.chap.secret" } },
    });
    expect(`${answer}${log}`).not.toContain("tell,nobody");
    raw.destroy();
  });
});

describe("a broken peer", () => {
  it.each([
    ["no JSON", "hello\n"],
    ["no request", '{"id":"x"}\n'],
    ["a line without end", "x".repeat(MAX_REQUEST_BYTES + 1)],
  ])("that sends %s is dropped by the server, which serves on", async (_, text) => {
    await serve(doing(async () => "fine"));
    const raw = connect(path);
    raw.on("error", () => {});
    raw.write(text);
    await once(raw, "close");
    expect(await client.images.usage(signal)).toBe("fine");
  });

  it("is told about verbs that nobody knows, also those that every object has", async () => {
    await serve({});
    const raw = connect(path);
    raw.write('{"id":1,"verb":"toString","args":{}}\n');
    const [answer] = await once(raw, "data");
    expect(JSON.parse(String(answer))).toMatchObject({ error: { code: "UNSUPPORTED" } });
    raw.destroy();
  });

  it("that answers nonsense makes calls fail, not the client", async () => {
    server = createServer((socket: Socket) => void socket.on("data", () => socket.write("nonsense\n"))).listen(path);
    await once(server, "listening");
    await expect(client.images.usage(signal)).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
    await expect(client.images.usage(signal)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});

it("lines arrive whole, however they were cut", async () => {
  const lines: string[] = [];
  server = createServer((socket) => readLines(socket, 100, (line) => lines.push(line))).listen(path);
  await once(server, "listening");
  const raw = connect(path);
  await once(raw, "connect");
  raw.setNoDelay();
  for (const byte of Buffer.from("für\n\nzwei\ndrei")) {
    raw.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  raw.end("\n");
  await once(raw, "close");
  expect(lines).toEqual(["für", "", "zwei", "drei"]);
});
