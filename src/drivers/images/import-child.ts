import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { abortedError, driverFailed } from "../failure.ts";

const WORKER = fileURLToPath(new URL("import-worker.ts", import.meta.url));
/** Debian's `nobody`. */
const NOBODY = 65534;
const GIB = 1024 ** 3;

type Files = { source: number; target?: number };
type Progress = (doneBytes: number) => void;

/**
 * Copies descriptor `source` to `target`, leaving out zero blocks, or only reads it; answers the SHA-256 (hex).
 * Killed when the signal fires; when this process dies, it ends at its next word of progress.
 */
export async function readInChild(
  mode: "copy" | "hash",
  files: Files,
  progress: Progress,
  signal: AbortSignal,
): Promise<string> {
  let sha256: string | undefined;
  let failure: { code?: string; message: string } | undefined;
  const command = ["nice", "-n", "10", process.execPath, WORKER, mode];
  await runChild(command, files, signal, "\n", (line) => {
    const said = JSON.parse(line) as {
      doneBytes?: number;
      sha256?: string;
      error?: { code?: string; message: string };
    };
    if (said.doneBytes !== undefined) progress(said.doneBytes);
    sha256 ??= said.sha256;
    failure ??= said.error;
  }).catch((error) => {
    throw failure ? Object.assign(new Error(failure.message), failure) : error;
  });
  if (sha256 === undefined) throw driverFailed("file", "import", "the reading process ended without a checksum");
  return sha256;
}

/**
 * Writes the content of the qcow2 image on descriptor `source` to the zero-filled file on `target`, with qemu-img. That
 * parses what strangers made, so it runs as nobody, under limits of memory and file size, and may read files but write
 * none, save the target: let nobody open that for writing. Network it has only where this process has.
 */
export async function convertQcow2(
  files: Required<Files>,
  sizeBytes: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const source = {
    driver: "qcow2",
    backing: null,
    file: { driver: "file", filename: "/proc/self/fd/3", locking: "off" },
  };
  // The image may be readable by root alone.
  const capabilities = "-all,+dac_read_search";
  const command = [
    ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--no-new-privs", "--pdeathsig=KILL"],
    [`--bounding-set=${capabilities}`, `--inh-caps=${capabilities}`, `--ambient-caps=${capabilities}`],
    ["prlimit", `--as=${4 * GIB}`, `--fsize=${sizeBytes}`, "--core=0"],
    ["nice", "-n", "10", "ionice", "-c", "3"],
    ["qemu-img", "convert", "-p", "-n", "--target-is-zero", "-O", "raw"],
    [`json:${JSON.stringify(source)}`, "/proc/self/fd/4"],
  ].flat();
  await runChild(command, files, signal, "\r", (text) => {
    const percent = /\((\d+(?:\.\d+)?)\/100%\)/.exec(text)?.[1];
    if (percent !== undefined) progress(Math.floor((Number(percent) / 100) * sizeBytes));
  });
}

/** Runs a command with the files as descriptors 3 and 4; rejects unless it ends with 0. Settled, it is gone. */
function runChild(
  [command = "", ...args]: string[],
  { source, target }: Files,
  signal: AbortSignal,
  separator: "\n" | "\r",
  onText: (text: string) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe", source, target ?? "ignore"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      cwd: "/",
    });
    let complaint = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-2000);
    });
    if (separator === "\n") createInterface({ input: child.stdout! }).on("line", onText);
    else child.stdout!.setEncoding("utf8").on("data", onText);
    const kill = () => child.kill("SIGKILL");
    signal.addEventListener("abort", kill, { once: true });
    if (signal.aborted) kill();
    const done = () => signal.removeEventListener("abort", kill);
    child.on("error", (cause) => {
      done();
      reject(driverFailed("file", "import", `can't run ${command}`, { cause }));
    });
    child.on("close", (code, killedBy) => {
      done();
      if (code === 0) return resolve();
      if (signal.aborted) return reject(abortedError(signal, "file", "import"));
      const program = args.find((word) => word === "qemu-img") ?? command;
      const full = /No space left on device/.test(complaint);
      const message = `${program} ended with ${killedBy ?? code}: ${complaint.trim()}`;
      reject(full ? Object.assign(new Error(message), { code: "ENOSPC" }) : driverFailed("file", "import", message));
    });
  });
}
