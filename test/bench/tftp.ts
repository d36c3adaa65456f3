/**
 * How fast 100 MiB travel by TFTP over a veth pair: Ingot, tftpd-hpa, the npm package `tftp`, and what a bare node:dgram
 * echo allows. The client is atftp for all. Server and client have a CPU each, as two machines have: otherwise the
 * scheduler's choice of CPUs decides, by a factor of four. Then a block at a time measures how soon a sleeping CPU is
 * awake; the cases "on one CPU" measure the work.
 * usage: npm run bench -- tftp [--json] [--rounds N] [--case TEXT]
 */
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { installPackages } from "../lab/packages.ts";
import { type Case, sideBySide } from "./measure/side-by-side.ts";
import { benchServers, type Peer, SERVER_ADDRESS } from "./tftp/servers.ts";

const BYTES = 100 * 1024 * 1024;
const BLOCK_BYTES = 1468;
const SERVER_CPU = 0;
const CLIENT_CPU = Math.min(1, availableParallelism() - 1);

const run = promisify(execFile);
installPackages(["iproute2", "atftp", "tftpd-hpa"]);
const root = mkdtempSync(join(tmpdir(), "ingot-bench-tftp-"));
chmodSync(root, 0o755);
writeFileSync(join(root, "file"), Buffer.alloc(BYTES, "ingot"));
const servers = await benchServers(root, { bytes: BYTES, blockBytes: BLOCK_BYTES }, SERVER_CPU);
try {
  await sideBySide(
    "tftp",
    [
      beside("windowsize 1", 1, "tftpd-hpa"),
      beside("windowsize 1, the bound", 1, "node:dgram echo"),
      beside("windowsize 16", 16, "tftpd-hpa"),
      beside("windowsize 16, npm tftp", 16, "npm tftp"),
      beside("windowsize 64, npm tftp", 64, "npm tftp"),
      beside("windowsize 1, on one CPU", 1, "tftpd-hpa", SERVER_CPU),
      beside("windowsize 1, on one CPU, the bound", 1, "node:dgram echo", SERVER_CPU),
      beside("windowsize 16, on one CPU", 16, "tftpd-hpa", SERVER_CPU),
    ],
    5,
  );
} finally {
  await servers.stop();
  rmSync(root, { recursive: true, force: true });
}

/** tftpd-hpa 5.2 and the echo leave `windowsize` out of their OACK: a block at a time it is. */
function beside(name: string, windowBlocks: number, peer: Peer, clientCpu = CLIENT_CPU): Case {
  const speed = (server: Peer) => () => fetchSpeed(servers.ports[server], windowBlocks, clientCpu);
  return { case: name, unit: "MB/s", better: "higher", ours: speed("ingot"), peer, theirs: speed(peer) };
}

/** MB/s of one download, the client's start included. */
async function fetchSpeed(port: number, windowBlocks: number, cpu: number): Promise<number> {
  const options = ["--option", `blksize ${BLOCK_BYTES}`, "--option", `windowsize ${windowBlocks}`];
  const words = ["-g", "-r", "file", "-l", "/dev/null", SERVER_ADDRESS, String(port)];
  const [program = "", ...rest] = servers.atClient(["taskset", "-c", String(cpu), "atftp", ...options, ...words]);
  const began = performance.now();
  await run(program, rest, { timeout: 120_000 });
  return BYTES / 1e6 / ((performance.now() - began) / 1000);
}
