import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { LossyProxy } from "./tftp/lossy-proxy.ts";
import { TftpFixture } from "./tftp/tftp-fixture.ts";

const PORT = 21169;
const PROXY_PORT = 21170;
const run = promisify(execFile);

/** Not a multiple of any block size; more than 65,536 blocks of 8. */
const FILE = randomBytes(1_234_567);

let fixture: TftpFixture;
let downloads: string;
let count = 0;

beforeAll(async () => {
  fixture = await TftpFixture.start(PORT, { mtu: 65536, clock: systemClock });
  writeFileSync(join(fixture.root, "file"), FILE);
  writeFileSync(join(fixture.root, "text"), "one\ntwo\n");
  downloads = mkdtempSync(join(tmpdir(), "ingot-tftp-clients-"));
});

afterAll(async () => {
  await fixture.stop();
  rmSync(downloads, { recursive: true, force: true });
});

type Client = { name: string; command: (file: string, to: string, port: number) => string[] };

const atftp = (...options: string[]): Client => ({
  name: `atftp ${options.join(", ")}`,
  command: (file, to, port) => [
    "atftp",
    ...options.flatMap((option) => ["--option", option]),
    ...["-g", "-r", file, "-l", to, "127.0.0.1", String(port)],
  ],
});
const tftpHpa: Client = {
  name: "tftp-hpa",
  command: (file, to, port) => ["tftp", "-m", "binary", "127.0.0.1", String(port), "-c", "get", file, to],
};
const busybox = (...options: string[]): Client => ({
  name: `busybox ${options.join(" ")}`,
  command: (file, to, port) => ["busybox", "tftp", "-g", ...options, "-r", file, "-l", to, "127.0.0.1", String(port)],
});
const curl = (...options: string[]): Client => ({
  name: `curl ${options.join(" ")}`,
  command: (file, to, port) => ["curl", "-sS", ...options, "-o", to, `tftp://127.0.0.1:${port}/${file}`],
});

async function download(client: Client, file: string, port = PORT): Promise<Buffer> {
  const to = join(downloads, String(count++));
  const [program = "", ...words] = client.command(file, to, port);
  await run(program, words, { timeout: 100_000 });
  return readFileSync(to);
}

describe("real TFTP clients", () => {
  it.each([
    atftp(),
    atftp("blksize 1468"),
    atftp("blksize 1468", "windowsize 16"),
    atftp("blksize 65464", "windowsize 2"),
    atftp("blksize 8", "windowsize 64"),
    atftp("tsize 0", "timeout 2"),
    tftpHpa,
    busybox(),
    busybox("-b", "1468"),
    curl(),
    curl("--tftp-blksize", "1456"),
    curl("--tftp-no-options"),
  ])("fetch a file whole: $name", async (client) => {
    expect((await download(client, "file")).equals(FILE)).toBe(true);
    const transfer = await fixture.ended(fixture.transfers.length);
    expect(transfer).toMatchObject({ outcome: "complete", bytes: FILE.length });
  });

  it("get back the Unix text they asked for in netascii", async () => {
    const ascii: Client = {
      name: "tftp-hpa",
      command: (file, to, port) => ["tftp", "-m", "ascii", "127.0.0.1", String(port), "-c", "get", file, to],
    };
    expect((await download(ascii, "text")).toString()).toBe("one\ntwo\n");
  });

  it("are told when there is no such file", async () => {
    await expect(download(curl(), "missing")).rejects.toMatchObject({ code: 68 }); // CURLE_TFTP_NOTFOUND
  });
});

describe("with 5 % of the packets lost in each direction", () => {
  it.each([
    { client: atftp("blksize 1468"), bytes: 200_000 },
    { client: atftp("blksize 1468", "windowsize 4"), bytes: 200_000 },
    { client: atftp("blksize 1468", "windowsize 16"), bytes: 1_000_000 },
    { client: tftpHpa, bytes: 50_000 },
    { client: busybox("-b", "1468"), bytes: 200_000 },
    { client: curl("--tftp-no-options"), bytes: 50_000 },
  ])("$client.name gets $bytes bytes whole", async ({ client, bytes }) => {
    writeFileSync(join(fixture.root, "part"), FILE.subarray(0, bytes));
    const proxy = await LossyProxy.open(PROXY_PORT, PORT, 0.05);
    try {
      expect((await download(client, "part", PROXY_PORT)).equals(FILE.subarray(0, bytes))).toBe(true);
      expect(proxy.lost).toBeGreaterThan(0);
    } finally {
      proxy.close();
    }
  });
});
