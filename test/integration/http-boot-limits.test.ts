import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { resolve } from "node:path";
import { Hono } from "hono";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadScriptTemplates } from "../../src/boot/script-template.ts";
import { systemClock } from "../../src/clock.ts";
import { type BootServer, type BootServerParts, startHttpBootServer } from "../../src/http/boot/server.ts";
import type { BootHttp } from "../../src/http/boot/source-address.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import type { Mac } from "../../src/values/mac.ts";
import { Lines } from "./namespaces.ts";
import { until } from "./until.ts";

const mac = "52:54:00:62:00:03" as Mac;
const PORT = 22001;

let servers: BootServer[];
let sockets: Socket[];
beforeEach(() => {
  servers = [];
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.map((one) => one.stop()));
});

async function start(parts: Partial<BootServerParts> = {}): Promise<BootServer> {
  const server = await startHttpBootServer({
    network: { name: "rack1", address: "127.0.0.1" as Ipv4, httpPort: PORT },
    answers: {
      answer: () => ({ kind: "exit" }),
      owns: (_mac, address) => address.startsWith("127."),
      reports: (_mac, address) => address.startsWith("127."),
      ownerOf: () => mac,
    },
    clientOf: () => undefined,
    tokens: { issue: () => "", fits: () => false },
    templates: loadScriptTemplates(),
    assets: new Hono<BootHttp>().get("/slow", () => new Response(new ReadableStream())),
    onTransfer: () => {},
    emit: () => {},
    log: pino({ level: "silent" }),
    clock: systemClock,
    ...parts,
  });
  servers.push(server);
  return server;
}

async function open(port = PORT, localAddress = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress });
  sockets.push(socket);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** All that comes until the server closes. */
async function rest(socket: Socket): Promise<string> {
  let text = "";
  socket.setEncoding("latin1").on("data", (data) => {
    text += data;
  });
  if (!socket.closed) await once(socket, "close");
  return text;
}

const ask = `GET /boot/${mac} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;

describe("limits of the HTTP boot server", () => {
  it("serves a socket that was opened for it", async () => {
    const listener = createServer().listen(PORT, "127.0.0.1");
    await once(listener, "listening");
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
    const network = { name: "rack1", address: "127.0.0.1", httpPort: 1, unknown: "exit" };
    const program = resolve(import.meta.dirname, "programs/serve-boot.ts");
    const facts = JSON.stringify({ network, loaders: {}, changes: [], assets: "/nowhere", fd: 3 });
    const child = spawn(process.execPath, [program, facts], { stdio: ["ignore", "pipe", "inherit", fd] });
    const ended = once(child, "exit");
    listener.close();
    try {
      await new Lines(child).next(new RegExp(`"port":${PORT}`));
      const socket = await open();
      socket.write(ask);
      expect(await rest(socket)).toMatch(/^HTTP\/1.1 403 /);
    } finally {
      child.kill();
      await ended;
    }
  });

  it("says which address it could not have", async () => {
    await start();
    await expect(start()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: `HTTP boot server of network rack1 can't listen on 127.0.0.1:${PORT}`,
    });
  });

  it("cuts off a client that drips its headers", async () => {
    await start({ limits: { headersMs: 300, requestMs: 600 } });
    const socket = await open();
    socket.write("GET /boot/");
    const drip = setInterval(() => socket.write("x"), 50);
    const text = await rest(socket).finally(() => clearInterval(drip));
    expect(text).toMatch(/^HTTP\/1.1 408 |^$/);
  });

  it("cuts off a client that drips its body, and one that reads nothing", async () => {
    await start({ limits: { headersMs: 300, requestMs: 600, stalledMs: 400 } });
    const body = await open();
    body.write(`POST /boot/${mac}/ready HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n`);
    const drip = setInterval(() => body.write("x"), 50);
    await rest(body).finally(() => clearInterval(drip));
    const stalled = await open();
    stalled.write("GET /assets/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    await rest(stalled);
  });

  it("refuses long headers", async () => {
    await start();
    const socket = await open();
    socket.write(`GET /boot/${mac} HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(9000)}\r\n\r\n`);
    expect(await rest(socket)).toMatch(/^HTTP\/1.1 431 /);
  });

  /** A connection on which an answer has begun that never ends. */
  async function openBusy(localAddress?: string): Promise<Socket> {
    const socket = await open(PORT, localAddress);
    socket.write("GET /assets/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(socket, "data");
    return socket;
  }

  async function answered(localAddress: string): Promise<string> {
    const socket = await open(PORT, localAddress);
    socket.write(ask);
    return (await rest(socket)).slice(0, 12);
  }

  it("lets one address have its share of connections and no more", async () => {
    await start({ limits: { connectionsPerAddress: 4 } });
    const held = await Promise.all(Array.from({ length: 4 }, () => openBusy()));
    expect(await rest(await open())).toBe("");
    expect(await answered("127.0.0.2")).toBe("HTTP/1.1 200");
    held[0]!.destroy();
    await until("its place is free", async () => (await answered("127.0.0.1")) === "HTTP/1.1 200");
  });

  it("closes the connection that was idle for longest when its address opens another", async () => {
    await start({ limits: { connectionsPerAddress: 3 } });
    const busy = await openBusy();
    const older = await open();
    const newer = await open();
    expect(await answered("127.0.0.1")).toBe("HTTP/1.1 200");
    expect(await rest(older)).toBe("");
    expect([busy.closed, newer.closed]).toEqual([false, false]);
  });

  it("is not filled by connections that ask nothing, or ask for ever", async () => {
    await start({ limits: { connections: 8, connectionsPerAddress: 4 } });
    for (let count = 0; count < 40; count++) {
      const socket = await open(PORT, `127.0.0.${2 + (count % 10)}`);
      socket.write("GET /boot/");
    }
    expect(await answered("127.0.1.1")).toBe("HTTP/1.1 200");
  });

  it("is not filled by a few addresses that read nothing", async () => {
    await start({ limits: { connections: 8, connectionsPerAddress: 4 } });
    const greedy = await Promise.all(["127.0.0.2", "127.0.0.3"].flatMap((one) => Array(4).fill(one)).map(openBusy));
    expect(await answered("127.0.1.1")).toBe("HTTP/1.1 200");
    await until("one is cut off", () => greedy.some(({ closed }) => closed));
    expect(greedy.filter(({ closed }) => closed)).toHaveLength(1);
  });

  it("answers one request at a time", async () => {
    let begun = 0;
    const assets = new Hono<BootHttp>().get("/file", (context) => {
      begun++;
      return context.text("file");
    });
    await start({ assets });
    const socket = await open();
    socket.write("GET /assets/file HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000));
    const statuses = (await rest(socket)).match(/HTTP\/1.1 \d+/g);
    expect(statuses?.slice(0, 2)).toEqual(["HTTP/1.1 200", "HTTP/1.1 503"]);
    expect(begun).toBe(1);
  });

  it("tells an address that asks without end to wait, and nobody else", async () => {
    await start({ requestsPerAddress: { most: 5, windowMs: 60_000 } });
    const codes: string[] = [];
    for (let count = 0; count < 7; count++) codes.push((await answered("127.0.0.1")).slice(-3));
    expect(codes).toEqual(["200", "200", "200", "200", "200", "429", "429"]);
    expect(await answered("127.0.0.2")).toBe("HTTP/1.1 200");
  });

  it("stops although an answer never ends", async () => {
    const server = await start({ limits: { graceMs: 100 } });
    const socket = await open();
    socket.write("GET /assets/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(socket, "data");
    await server.stop();
    await expect(once(connect({ port: PORT, host: "127.0.0.1" }), "connect")).rejects.toThrow(/ECONNREFUSED/);
  });
});
