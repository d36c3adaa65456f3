/**
 * Files and scripts by HTTP over a veth pair. Files lie in the page cache: Ingot beside nginx with sendfile, fetched by
 * curl, whole and by ranges. Scripts: the route that iPXE asks, with its owner check, decision, timeline and script,
 * beside a bare Hono route on the same adaptor that answers with as many bytes; asked by wrk. Server and client have a
 * CPU each.
 * usage: npm run bench -- http [--json] [--rounds N] [--case TEXT]
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { installPackages } from "../lab/packages.ts";
import { benchServers } from "./http/servers.ts";
import { type Case, sideBySide } from "./measure/side-by-side.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const SECONDS = 3;
const SERVER_CPU = 0;
const CLIENT_CPU = Math.min(1, availableParallelism() - 1);

const run = promisify(execFile);
installPackages(["iproute2", "nginx-light", "curl", "wrk"]);
const folder = mkdtempSync(join(tmpdir(), "ingot-bench-http-"));
const root = mkdtempSync(join(tmpdir(), "ingot-bench-http-"));
await writeFile(join(root, "file"), GIB);
const { urls, atClient, stop } = await benchServers(root, folder, SERVER_CPU);
try {
  await sideBySide(
    "http",
    [
      files("1 GiB", GIB, [`0-${GIB - 1}`], true),
      files("1 GiB by ranges of 4 MiB", GIB, ranges(GIB, 4 * MIB)),
      files("64 MiB by ranges of 64 KiB", 64 * MIB, ranges(64 * MIB, MIB / 16)),
      scripts("boot scripts, keep-alive", []),
      scripts("boot scripts, a connection each", ["-H", "Connection: close"]),
    ],
    5,
  );
} finally {
  await stop();
  rmSync(root, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
}

function files(name: string, bytes: number, parts: string[], whole = false): Case {
  const speed = (server: "ingot" | "nginx") => async () => {
    const words = parts.flatMap((part, index) => [
      ...(index > 0 ? ["--next"] : []),
      ...["-sS", "-f", "-o", "/dev/null"],
      ...(whole ? [] : ["-r", part]),
      urls.file(server),
    ]);
    const began = performance.now();
    await client("curl", ...words);
    return bytes / 1e6 / ((performance.now() - began) / 1000);
  };
  return { case: name, unit: "MB/s", better: "higher", ours: speed("ingot"), peer: "nginx", theirs: speed("nginx") };
}

function scripts(name: string, headers: string[]): Case {
  const rate = (server: "ingot" | "hono") => async () => {
    const output = await client("wrk", "-t", "1", "-c", "16", "-d", `${SECONDS}s`, ...headers, urls.script(server));
    if (/Non-2xx/.test(output)) throw new Error(`not all were answered:\n${output}`);
    return Number(/Requests\/sec:\s*([\d.]+)/.exec(output)?.[1]);
  };
  return { case: name, unit: "/s", better: "higher", ours: rate("ingot"), peer: "bare Hono", theirs: rate("hono") };
}

async function client(...argv: string[]): Promise<string> {
  const [program = "", ...words] = atClient(["taskset", "-c", String(CLIENT_CPU), ...argv]);
  return (await run(program, words, { timeout: 120_000, maxBuffer: 16 * MIB })).stdout;
}

function ranges(bytes: number, step: number): string[] {
  return Array.from({ length: bytes / step }, (_, index) => `${index * step}-${(index + 1) * step - 1}`);
}

/** A file without holes: nothing may be faster than the page cache. */
async function writeFile(path: string, bytes: number): Promise<void> {
  const file = await open(path, "w");
  const chunk = Buffer.alloc(MIB, "ingot");
  for (let written = 0; written < bytes; written += MIB) await file.write(chunk);
  await file.close();
}
