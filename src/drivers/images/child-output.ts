import { spawn } from "node:child_process";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { abortedError, driverFailed } from "../failure.ts";
import { CHILD_ENV } from "./child-env.ts";
import type { ByteRange } from "./image-store.ts";

export type ChildWork = {
  driver: string;
  /** What it does, for errors. */
  action: string;
  signal: AbortSignal;
  /** What it reads; none by default. */
  input?: Readable;
  /** Open files that it has as descriptors from 3 on. */
  files?: number[];
};

/**
 * What a program writes, as a stream. DRIVER_FAILED, with its last words, where it ends with anything but 0, and what its
 * input fails with; CANCELLED by the signal. The program ends with the stream.
 */
export function childOutput(
  program: string,
  args: string[],
  { driver, action, signal, input, files = [] }: ChildWork,
): Readable {
  const child = spawn("nice", ["-n", "10", program, ...args], {
    stdio: [input ? "pipe" : "ignore", "pipe", "pipe", ...files],
    env: CHILD_ENV,
    cwd: "/",
  });
  // Node throws away what nobody listens to once the program ended; the reader may come later than that
  child.stdout!.on("readable", () => {});
  let complaint = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  const fed = input && child.stdin ? feed(input, child.stdin) : Promise.resolve();
  fed.catch(() => child.kill("SIGKILL"));
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", (cause) => reject(driverFailed(driver, action, `can't run ${program}`, { cause })));
    child.on("close", (code, killedBy) => {
      if (code === 0) return resolve();
      reject(driverFailed(driver, action, `${program} ended with ${killedBy ?? code}: ${complaint.trim()}`));
    });
  });
  ended.catch(() => {});
  const kill = () => child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  if (signal.aborted) kill();

  async function* output(): AsyncGenerator<Buffer> {
    try {
      yield* child.stdout as Readable;
      // an input that broke off ended the program too: it is the cause
      await fed;
      await ended;
    } catch (error) {
      throw signal.aborted ? abortedError(signal, driver, action) : error;
    }
  }
  const stream = Readable.from(output(), { objectMode: false });
  stream.on("close", () => {
    signal.removeEventListener("abort", kill);
    kill();
  });
  return stream;
}

/**
 * Gives a program all that a stream brings. Rejects where the stream breaks off; that the program takes no more is no
 * failure of this: how it ended says why.
 */
export async function feed(input: Readable, stdin: Writable): Promise<void> {
  let broken: unknown;
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* input as AsyncIterable<Buffer>;
    } catch (error) {
      broken = error;
      throw error;
    }
  }
  await pipeline(watched, stdin).catch(() => {});
  if (broken !== undefined) throw broken;
}

/** The bytes of these ranges, in ascending order, out of a stream; it ends with the last of them. */
export function pick(content: Readable, ranges: Iterable<ByteRange>): Readable {
  async function* picked(): AsyncGenerator<Buffer> {
    const waiting = ranges[Symbol.iterator]();
    let range = waiting.next().value;
    let position = 0;
    if (!range) return;
    for await (const chunk of content as AsyncIterable<Buffer>) {
      const end = position + chunk.length;
      while (range && range.first < end) {
        const piece = chunk.subarray(Math.max(0, range.first - position), range.last + 1 - position);
        if (piece.length > 0) yield piece;
        if (range.last >= end) break;
        range = waiting.next().value;
      }
      if (!range) return;
      position = end;
    }
  }
  const stream = Readable.from(picked(), { objectMode: false });
  stream.on("close", () => content.destroy());
  return stream;
}
