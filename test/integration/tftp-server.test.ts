import { randomBytes } from "node:crypto";
import { readdirSync, readlinkSync, renameSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { systemClock } from "../../src/clock.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { encodeTftp } from "../../src/wire/tftp/packet.ts";
import { eventually, hastyClock, TftpFixture } from "./tftp/tftp-fixture.ts";
import { type Heard, TftpProbe } from "./tftp/tftp-probe.ts";

const PORT = 21069;
const FILE = randomBytes(5000);

let fixture: TftpFixture;
let probe: TftpProbe;
/** Closed after the test: a port that closes earlier ends its transfer. */
let opened: TftpProbe[];

async function restart(parts: Parameters<typeof TftpFixture.start>[1]) {
  await fixture.stop();
  fixture = await TftpFixture.start(PORT, parts);
  writeFileSync(join(fixture.root, "file"), FILE);
}

beforeEach(async () => {
  fixture = await TftpFixture.start(PORT);
  writeFileSync(join(fixture.root, "file"), FILE);
  probe = await TftpProbe.open(fixture);
  opened = [];
});

afterEach(async () => {
  for (const one of new Set([probe, ...opened])) one.close();
  await fixture.stop();
});

const data = (block: number) => ({
  packet: { type: "data", block, bytes: FILE.subarray((block - 1) * 512, block * 512) },
});

/** Port of the transfer that the packet came from, once it is seen to be DATA. */
function transferPort(heard: Heard): number {
  expect(heard.packet.type).toBe("data");
  return heard.port;
}

describe("a TFTP read", () => {
  it("is RFC 1350 without options: 512 bytes, one block at a time, a port of its own", async () => {
    probe.request("file");
    const first = await probe.next();
    expect(first).toMatchObject(data(1));
    expect(first.port).not.toBe(PORT);
    for (let block = 1; block <= 9; block++) {
      probe.ack(block, first.port);
      expect(await probe.next()).toMatchObject({ ...data(block + 1), port: first.port });
    }
    probe.ack(10, first.port);
    expect(await fixture.ended()).toMatchObject({
      client: "127.0.0.1",
      file: "file",
      bytes: 5000,
      retransmissions: 0,
      outcome: "complete",
    });
    expect(probe.heard).toEqual([]);
  });

  it("begins with an OACK when options are asked for", async () => {
    probe.request("/file", { BLKSIZE: "1432", tsize: "0", windowsize: "2", unheardof: "1" });
    const oack = await probe.next();
    expect(oack.packet).toEqual({
      type: "oack",
      options: new Map([
        ["blksize", "1432"],
        ["tsize", "5000"],
        ["windowsize", "2"],
      ]),
    });
    probe.ack(0, oack.port);
    const window = [await probe.next(), await probe.next()];
    expect(window.map(({ packet }) => packet)).toMatchObject([{ block: 1 }, { block: 2 }]);
  });

  it("ends with an empty block when the size is a multiple of the block size", async () => {
    writeFileSync(join(fixture.root, "even"), FILE.subarray(0, 1024));
    writeFileSync(join(fixture.root, "empty"), "");
    expect(await probe.fetch("even")).toEqual(FILE.subarray(0, 1024));
    expect(await probe.fetch("empty")).toHaveLength(0);
    expect(await probe.fetch("even", { blksize: "1024", windowsize: "8" })).toEqual(FILE.subarray(0, 1024));
  });

  it("rolls over from block 65535 to block 0", async () => {
    const long = randomBytes(8 * 65_600 + 3);
    writeFileSync(join(fixture.root, "long"), long);
    expect((await probe.fetch("long", { blksize: "8", windowsize: "64" })).equals(long)).toBe(true);
  });

  it("translates line ends in netascii, and tells the translated size", async () => {
    writeFileSync(join(fixture.root, "text"), "one\ntwo\n");
    expect((await probe.fetch("text", {}, "NetASCII")).toString()).toBe("one\r\ntwo\r\n");
    probe.request("text", { tsize: "0" }, "netascii");
    expect((await probe.next()).packet).toEqual({ type: "oack", options: new Map([["tsize", "10"]]) });
  });

  it("comes from the address that was asked", async () => {
    await restart({ address: "127.0.0.9" as Ipv4 });
    const other = await TftpProbe.open({ address: "127.0.0.9", port: PORT });
    other.request("file");
    expect(await other.next()).toMatchObject({ ...data(1), address: "127.0.0.9" });
    other.request("missing");
    expect(await other.next()).toMatchObject({ packet: { type: "error" }, address: "127.0.0.9" });
    other.close();
  });

  it("sends nothing twice for ACKs that come twice", async () => {
    probe.request("file");
    const { port } = await probe.next();
    const blocks: number[] = [];
    for (let block = 1; block <= 9; block++) {
      probe.ack(block, port);
      probe.ack(block, port);
      const { packet } = await probe.next();
      if (packet.type === "data") blocks.push(packet.block);
    }
    probe.ack(10, port);
    expect(await fixture.ended()).toMatchObject({ outcome: "complete", retransmissions: 0 });
    expect(blocks).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("sends again what is lost", async () => {
    probe.request("file", { blksize: "512", windowsize: "4" });
    const { port } = await probe.next();
    probe.ack(0, port);
    for (let count = 0; count < 4; count++) await probe.next();
    probe.ack(2, port); // block 3 was lost
    expect(await probe.next()).toMatchObject(data(3));
  });

  it("is fetched by many at a time", async () => {
    const probes = await Promise.all(Array.from({ length: 32 }, (_, n) => TftpProbe.open(fixture, `127.0.1.${n + 1}`)));
    const files = await Promise.all(probes.map((one) => one.fetch("file", { blksize: "64", windowsize: "3" })));
    expect(files.every((file) => file.equals(FILE))).toBe(true);
    for (const one of probes) one.close();
  });
});

describe("a TFTP request is refused", () => {
  const refusals: { what: string; file: string; mode?: string; code: number }[] = [
    { what: "no such file", file: "missing", code: 1 },
    { what: "a directory", file: ".", code: 2 },
    { what: "a way up", file: "../../etc/passwd", code: 2 },
    { what: "a backslash", file: "..\\file", code: 2 },
    { what: "a link that leads out", file: "out", code: 2 },
    { what: "mode mail", file: "file", mode: "mail", code: 4 },
    { what: "no known mode", file: "file", mode: "binary", code: 4 },
  ];
  it.each(refusals)("with ERROR $code: $what", async ({ file, mode, code }) => {
    symlinkSync("/etc/passwd", join(fixture.root, "out"));
    probe.request(file, { tsize: "0" }, mode);
    expect((await probe.next()).packet).toMatchObject({ type: "error", code });
    expect(await fixture.ended()).toMatchObject({ file, outcome: "refused", bytes: 0 });
    expect(fixture.server.running).toBe(0);
  });

  it("with ERROR 2 when it wants to write", async () => {
    probe.send({ type: "write", file: "file", mode: "octet", options: new Map() });
    expect((await probe.next()).packet).toMatchObject({ type: "error", code: 2 });
    expect(await probe.fetch("file")).toEqual(FILE);
  });

  it("with ERROR 0 above the limits, in all and per client", async () => {
    await restart({ limits: { maxTransfers: 3, maxTransfersPerClient: 2 } });
    const begin = async (address: string) => {
      const one = await TftpProbe.open(fixture, address);
      opened.push(one);
      one.request("file");
      const { packet, port } = await one.next();
      if (packet.type === "error") return `ERROR ${packet.code}`;
      one.ack(1, port);
      await one.next();
      return "answered";
    };
    expect(await begin("127.0.0.1")).toBe("answered");
    expect(await begin("127.0.0.1")).toBe("answered");
    expect(await begin("127.0.0.1")).toBe("ERROR 0");
    expect(await begin("127.0.0.2")).toBe("answered");
    expect(await begin("127.0.0.3")).toBe("ERROR 0");
  });
});

describe("under a flood of TFTP requests", () => {
  it("whoever answers is served, and those that never do give way, the oldest first", async () => {
    await restart({ limits: { maxTransfers: 64, maxTransfersPerClient: 4 } });
    const ghosts = await Promise.all(
      Array.from({ length: 160 }, (_, n) => TftpProbe.open(fixture, `127.0.2.${(n % 40) + 1}`)),
    );
    opened.push(...ghosts);
    const honest = await TftpProbe.open(fixture, "127.0.3.1");
    opened.push(honest);
    let done = false;
    const flood = (async () => {
      for (let n = 0; !done; n++) {
        ghosts[n % ghosts.length]!.request("file", { tsize: String(n) });
        expect(fixture.server.running).toBeLessThanOrEqual(64);
        if (n % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await eventually("the server is full", () => fixture.server.running === 64);
    const files = [await honest.fetch("file"), await honest.fetch("file", { blksize: "64", windowsize: "4" })];
    done = true;
    await flood;
    expect(files.every((file) => file.equals(FILE))).toBe(true);
    const outcomes = new Map(fixture.transfers.map(({ outcome, reason }) => [outcome, reason]));
    expect(outcomes.get("aborted")).toBe("never answered, and others asked");
  });

  it("a client that starts again from another port, time and again, is served", async () => {
    await restart({ limits: { maxTransfers: 8, maxTransfersPerClient: 2 } });
    for (let attempt = 0; attempt < 10; attempt++) {
      const one = await TftpProbe.open(fixture);
      opened.push(one);
      one.request("file");
      expect(await one.next()).toMatchObject(data(1));
    }
    expect(fixture.server.running).toBe(2);
  });

  it("no address is heard beyond its share, and others are", async () => {
    const silence = await TftpProbe.open(fixture, "127.0.4.1");
    opened.push(silence, probe);
    for (let n = 0; n < 400; n++) {
      silence.request("missing", { tsize: String(n) });
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await probe.fetch("file")).toEqual(FILE);
    await eventually("the last one refused", () => fixture.transfers.length > 250);
    expect(fixture.transfers.filter(({ outcome }) => outcome === "refused")).toHaveLength(250);
  });

  it("a file is open once, however many read it, and found anew when its name means another", async () => {
    const leading = () =>
      readdirSync("/proc/self/fd").filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(fixture.root);
        } catch {
          return false; // closed meanwhile
        }
      }).length;
    const probes = await Promise.all(Array.from({ length: 6 }, () => TftpProbe.open(fixture)));
    opened.push(...probes);
    for (const one of probes) {
      one.request("file");
      transferPort(await one.next());
    }
    expect(leading()).toBe(1);
    writeFileSync(join(fixture.root, "next"), "another");
    renameSync(join(fixture.root, "next"), join(fixture.root, "file"));
    await eventually("the new file", async () => (await probe.fetch("file")).toString() === "another");
    await fixture.server.stop();
    await eventually("the file closed", () => leading() === 0);
  });
});

describe("a TFTP transfer", () => {
  it("is not started twice by a repeated request", async () => {
    probe.request("file");
    probe.request("file");
    const { port } = await probe.next();
    probe.request("file");
    probe.ack(1, port);
    expect(await probe.next()).toMatchObject({ ...data(2), port });
    expect(fixture.server.running).toBe(1);
  });

  it("gives way, without an ERROR, to another request from the same port", async () => {
    writeFileSync(join(fixture.root, "other"), "other");
    probe.request("file");
    const first = await probe.next();
    probe.request("other");
    const second = await probe.next();
    expect(second.packet).toMatchObject({ type: "data", bytes: Buffer.from("other") });
    expect(second.port).not.toBe(first.port);
    probe.ack(1, second.port);
    await fixture.ended(2);
    expect(fixture.transfers.map(({ file, outcome }) => [file, outcome])).toEqual([
      ["file", "aborted"],
      ["other", "complete"],
    ]);
    expect(probe.heard).toEqual([]);
  });

  it("begins anew when a client that fell silent asks for the same again", async () => {
    await restart({ clock: systemClock });
    probe.request("file");
    const first = await probe.next();
    probe.ack(1, first.port);
    const secondBlocks = () => probe.heard.filter(({ packet }) => packet.type === "data" && packet.block === 2);
    await eventually("block 2 twice", () => secondBlocks().length >= 2);
    probe.request("file");
    await eventually("block 1 from another port", () =>
      probe.heard.some(({ packet, port }) => packet.type === "data" && packet.block === 1 && port !== first.port),
    );
  });

  it("is not disturbed by strangers", async () => {
    const stranger = await TftpProbe.open(fixture, "127.0.0.66");
    probe.request("file");
    const { port } = await probe.next();
    stranger.send({ type: "error", code: 0, message: "stop it" }, port);
    stranger.send({ type: "ack", block: 1 }, port);
    const neighbour = await TftpProbe.open(fixture);
    neighbour.send({ type: "error", code: 0, message: "stop it" }, port);
    probe.ack(1, port);
    expect(await probe.next()).toMatchObject(data(2));
    expect(fixture.server.running).toBe(1);
    stranger.close();
    neighbour.close();
  });

  it("of a ROM that asks for the size and breaks off is a question, not a failure", async () => {
    probe.request("file", { tsize: "0", blksize: "1468" });
    const oack = await probe.next();
    probe.send({ type: "error", code: 8, message: "User aborted the transfer" }, oack.port);
    expect(await fixture.ended()).toMatchObject({ outcome: "size-query", bytes: 0 });
    // The real download follows, often from the same port.
    expect(await probe.fetch("file", { blksize: "1468" })).toEqual(FILE);
  });

  it("broken off by the client is aborted", async () => {
    probe.request("file", { tsize: "0" });
    const oack = await probe.next();
    probe.ack(0, oack.port);
    await probe.next();
    probe.ack(1, oack.port);
    probe.send({ type: "error", code: 3, message: "disk full" }, oack.port);
    expect(await fixture.ended()).toMatchObject({
      outcome: "aborted",
      bytes: 512,
      reason: expect.stringContaining("disk full"),
    });
  });

  it("gives a silent client up", async () => {
    // no time passes until the client has answered once, however busy this machine is
    const { promise: answered, resolve: fallSilent } = Promise.withResolvers<void>();
    const sleep: Clock["sleep"] = async (ms, signal) => {
      await answered;
      await hastyClock.sleep(ms, signal);
    };
    await restart({ clock: { now: Date.now, sleep } });
    probe.request("file", { tsize: "0" });
    const oack = await probe.next();
    probe.ack(0, oack.port);
    await probe.next();
    fallSilent();
    const ended = await fixture.ended();
    expect(ended).toMatchObject({ outcome: "timeout", bytes: 0 });
    expect(ended.retransmissions).toBeGreaterThanOrEqual(5);
    expect(ended.retransmissions).toBeLessThanOrEqual(16);
    await eventually("the client is told", () => probe.heard.at(-1)?.packet.type === "error");
    await eventually("no transfer runs", () => fixture.server.running === 0);
  });

  it("whose last ACK never comes is unconfirmed", async () => {
    await restart({ clock: hastyClock });
    writeFileSync(join(fixture.root, "short"), "short");
    probe.request("short");
    expect(await fixture.ended()).toMatchObject({ outcome: "unconfirmed", bytes: 5 });
  });

  it("ends when the client's port is closed", async () => {
    await restart({ clock: hastyClock });
    const client = await TftpProbe.open(fixture);
    client.request("file");
    const { port } = await client.next();
    client.ack(1, port);
    client.close();
    expect(await fixture.ended()).toMatchObject({
      outcome: "aborted",
      reason: expect.stringContaining("ECONNREFUSED"),
    });
  });

  it("fails when its file becomes shorter", async () => {
    writeFileSync(join(fixture.root, "long"), randomBytes(1_000_000));
    probe.request("long");
    let { port } = await probe.next();
    truncateSync(join(fixture.root, "long"), 1000);
    for (let block = 1; fixture.transfers.length === 0; block++) {
      probe.ack(block, port);
      const heard = await probe.next();
      port = heard.port;
      if (heard.packet.type === "error") break;
    }
    expect(await fixture.ended()).toMatchObject({ outcome: "failed", reason: expect.stringContaining("shorter") });
  });
});

describe("a TFTP server", () => {
  it.each([
    ["nothing", Buffer.alloc(0)],
    ["one byte", Buffer.from([0])],
    ["half a request", Buffer.from("\0\x01fi")],
    ["a stray ACK", encodeTftp({ type: "ack", block: 1 })],
    ["a stray ERROR", encodeTftp({ type: "error", code: 1, message: "x" })],
    ["noise", randomBytes(1000)],
  ])("lives on after %s", async (_, bytes) => {
    probe.send(bytes);
    expect(await probe.fetch("file")).toEqual(FILE);
  });

  it("lives on after a request from port 0", async () => {
    const request = encodeTftp({ type: "read", file: "file", mode: "octet", options: new Map() });
    fixture.socket.emit("message", request, { address: "127.0.0.1", port: 0, family: "IPv4", size: request.length });
    expect(await probe.fetch("file")).toEqual(FILE);
    await fixture.ended();
    expect(fixture.transfers).toMatchObject([{ outcome: "complete" }]);
  });

  it("tells running clients when it stops, and leaves no descriptor open", async () => {
    const before = readdirSync("/proc/self/fd").length;
    const probes = await Promise.all(Array.from({ length: 5 }, () => TftpProbe.open(fixture)));
    for (const one of probes) {
      one.request("file");
      transferPort(await one.next());
    }
    expect(fixture.server.running).toBe(5);
    await fixture.server.stop();
    for (const one of probes) {
      expect((await one.next()).packet).toMatchObject({ type: "error" });
      one.close();
    }
    expect(fixture.server.running).toBe(0);
    expect(fixture.transfers.every(({ outcome }) => outcome === "failed")).toBe(true);
    // The refusals' socket is gone too.
    await eventually("descriptors closed", () => readdirSync("/proc/self/fd").length <= before - 1);
  });
});
