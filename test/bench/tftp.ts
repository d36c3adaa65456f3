/**
 * How fast 100 MiB travel by TFTP on loopback: this server and tftpd-hpa, fetched by atftp, one after the other in the
 * same run. Compare the ratios; seconds are the machine's. Needs the packages atftp and tftpd-hpa.
 * usage: sh .config/run test/bench/tftp.ts
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { systemClock } from "../../src/clock.ts";
import { createLog } from "../../src/log.ts";
import { startTftpServer } from "../../src/tftp/server.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";

const MIB = 100;
const ROUNDS = 3;
const OURS = 21401;
const THEIRS = 21402;

const run = promisify(execFile);
const root = mkdtempSync(join(tmpdir(), "ingot-bench-tftp-"));
chmodSync(root, 0o755);
writeFileSync(join(root, "file"), Buffer.alloc(MIB * 1024 * 1024, "ingot"));

const socket = dgram.createSocket("udp4");
socket.bind(OURS, "127.0.0.1");
await once(socket, "listening");
const server = await startTftpServer({
  socket,
  address: "127.0.0.1" as Ipv4,
  mtu: 1500,
  root,
  limits: { maxTransfers: 8, maxTransfersPerClient: 8 },
  onTransfer: () => {},
  log: createLog("error"),
  clock: systemClock,
});
const hpa: ChildProcess = spawn("/usr/sbin/in.tftpd", ["-L", "-a", `127.0.0.1:${THEIRS}`, "-s", root], {
  stdio: "ignore",
});
try {
  await once(hpa, "spawn");
  await report("ingot, windowsize 1", OURS, 1);
  await report("ingot, windowsize 16", OURS, 16);
  await report("ingot, windowsize 64", OURS, 64);
  await report("tftpd-hpa (has no windowsize)", THEIRS, 1);
} finally {
  hpa.kill();
  await server.stop();
  socket.close();
  rmSync(root, { recursive: true, force: true });
}

/** Prints the best of some downloads in MB/s. */
async function report(what: string, port: number, windowBlocks: number): Promise<void> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const options = ["--option", "blksize 1468", "--option", `windowsize ${windowBlocks}`];
    const began = performance.now();
    await run("atftp", [...options, "-g", "-r", "file", "-l", "/dev/null", "127.0.0.1", String(port)]);
    best = Math.min(best, (performance.now() - began) / 1000);
  }
  console.log(`${what.padEnd(32)}${((MIB * 1.048576) / best).toFixed(0).padStart(6)} MB/s`);
}
