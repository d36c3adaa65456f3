import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Compression, ImageFormat } from "../../values/image-format.ts";
import { abortedError, driverFailed } from "../failure.ts";
import { CHILD_ENV } from "./child-env.ts";
import { confined } from "./confined.ts";
import { refusedImage } from "./formats/refused-image.ts";

const WORKER = fileURLToPath(new URL("import-worker.ts", import.meta.url));

/** Each reads its standard input and writes to its standard output; none takes another format than its own. */
const UNPACK: Record<Exclude<Compression, "none">, string[]> = {
  gz: ["gzip", "-dc"],
  xz: ["xz", "-dc", "--format=xz", "--threads=1", "--memlimit-decompress=128MiB"],
  zst: ["zstd", "-dcq", "--single-thread", "--memory=128MB"],
};

type Files = { source: number; target: number };
/** What is done so far, in bytes: of the source that was read, and of the content that came out of it. */
type Progress = (readBytes: number, madeBytes: number) => void;

/** The SHA-256 (hex) of what descriptor `source` holds. */
export async function hashInChild(source: number, progress: Progress, signal: AbortSignal): Promise<string> {
  return (await runWorker(["hash"], { source }, progress, signal)).sha256;
}

/** Copies descriptor `source` to the zero-filled file on `target`, leaving out zero blocks; answers the SHA-256 (hex) of the target. */
export async function copyInChild(files: Files, progress: Progress, signal: AbortSignal): Promise<string> {
  return (await runWorker(["copy"], files, progress, signal)).sha256;
}

/**
 * Unpacks descriptor `source` to the empty file on `target`, leaving out zero blocks, and fills that up to whole sectors;
 * answers how many bytes came out, and the SHA-256 (hex) of the target. The unpacking program is confined. INVALID for
 * what is not of that compression, is damaged, or makes more than `maxBytes`.
 */
export async function unpackInChild(
  files: Files,
  { compression, maxBytes }: { compression: Exclude<Compression, "none">; maxBytes: number },
  progress: Progress,
  signal: AbortSignal,
): Promise<{ sha256: string; madeBytes: number }> {
  const command = confined(UNPACK[compression], { fileBytes: 0 });
  const { sha256, madeBytes } = await runWorker(
    ["unpack", String(maxBytes), ...command],
    files,
    progress,
    signal,
  ).catch((error) => {
    if (error.code === "DAMAGED") {
      throw refusedImage(
        `can't be unpacked as ${compression}: ${error.message}`,
        "state its compression, or copy it again",
      );
    }
    if (error.code === "TOO_LARGE") throw tooLarge(maxBytes);
    throw error;
  });
  return { sha256, madeBytes };
}

/** INVALID for content that is longer than the configuration allows. */
export function tooLarge(maxBytes: number) {
  return refusedImage(`has more than ${maxBytes} bytes of content`, "raise pool.maxImageBytes, if it may be so large");
}

/**
 * Writes the content of the image on descriptor `source` to the zero-filled file on `target`, with a confined qemu-img:
 * nobody must be able to read the one and write the other. INVALID for an image that it can't read, or finds damaged: a
 * conversion alone takes what is cut off for zeros.
 */
export async function convertInChild(
  files: Files,
  { format, sizeBytes }: { format: ImageFormat; sizeBytes: number },
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const source = {
    driver: format,
    ...(format === "qcow2" || format === "vmdk" ? { backing: null } : {}),
    file: { driver: "file", filename: "/proc/self/fd/3", locking: "off" },
  };
  const image = `json:${JSON.stringify(source)}`;
  const check = confined(["qemu-img", "check", "-q", image], { fileBytes: 0 });
  await runChild(check, { source: files.source }, signal, "\n", () => {}).catch((error) => {
    if (error.code !== "ENDED") throw error;
    if (error.exitCode === CHECK_FOUND_LEAKS) return;
    throw refusedImage(
      `is damaged or cut short: ${error.message}`,
      "copy it again, or repair it: qemu-img check -r all",
    );
  });
  const convert = ["qemu-img", "convert", "-p", "-n", "--target-is-zero", "-O", "raw", image, "/proc/self/fd/4"];
  await runChild(confined(convert, { fileBytes: sizeBytes }), files, signal, "\r", (text) => {
    const percent = /\((\d+(?:\.\d+)?)\/100%\)/.exec(text)?.[1];
    if (percent === undefined) return;
    const done = Math.floor((Number(percent) / 100) * sizeBytes);
    progress(done, done);
  }).catch((error) => {
    if (error.code !== "ENDED") throw error;
    throw refusedImage(`can't be read as ${format}: ${error.message}`, "check it (qemu-img check), or copy it again");
  });
}

/** Space that is lost, and nothing else: qemu-img(1). */
const CHECK_FOUND_LEAKS = 3;

type Said = {
  progress?: [readBytes: number, madeBytes: number];
  sha256?: string;
  madeBytes?: number;
  error?: { code?: string; message: string };
};

async function runWorker(
  words: string[],
  files: { source: number; target?: number },
  progress: Progress,
  signal: AbortSignal,
): Promise<{ sha256: string; madeBytes: number }> {
  let last: Said = {};
  const command = ["nice", "-n", "10", process.execPath, "--max-old-space-size=64", "--expose-gc", WORKER, ...words];
  await runChild(command, files, signal, "\n", (line) => {
    const said = JSON.parse(line) as Said;
    if (said.progress) progress(...said.progress);
    else last = said;
  }).catch((error) => {
    throw last.error && !signal.aborted ? Object.assign(new Error(last.error.message), last.error) : error;
  });
  const { sha256, madeBytes = 0 } = last;
  if (sha256 === undefined) throw driverFailed("file", "import", "the reading process ended without a checksum");
  return { sha256, madeBytes };
}

/**
 * Runs a command with the files as descriptors 3 and 4. Settled, it is gone, and so is what it started. Rejects unless it
 * ends with 0: with code ENOSPC where the disk was full, ENDED with its last words otherwise.
 */
function runChild(
  [command = "", ...args]: string[],
  { source, target }: { source: number; target?: number },
  signal: AbortSignal,
  separator: "\n" | "\r",
  onText: (text: string) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe", source, target ?? "ignore"],
      env: CHILD_ENV,
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
      const missing = /(?:bwrap|unshare|setpriv|prlimit): (?:.*[Nn]o such file|.*[Oo]peration not permitted).*/.exec(
        complaint,
      );
      if (missing) {
        const remedy = "install bubblewrap; in a container, let it make namespaces";
        return reject(
          driverFailed("file", "import", `can't confine the child: ${missing[0]}`, { details: { remedy } }),
        );
      }
      const full = /No space left on device/.test(complaint);
      const message = complaint.trim() || `ended with ${killedBy ?? code}`;
      reject(Object.assign(new Error(message), { code: full ? "ENOSPC" : "ENDED", exitCode: code }));
    });
  });
}
