import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { ApplianceError, isApplianceError } from "../errors.ts";
import { writeFully } from "../values/write-fully.ts";
import { blocksOfContent } from "../values/zeros.ts";
import type { ApiClient } from "./api-client.ts";
import type { Terminal } from "./terminal.ts";
import { formatBytes } from "./text/quantity.ts";

/** So often a connection that broke off is made anew without any more of the file having come, and content that changed is begun anew. */
const TRIES = 5;
const PAUSE_MS = 1000;
const TELL_MS = 500;
const CLEAR = "\r\x1b[K";

export type Download = {
  api: ApiClient;
  /** Of the API. */
  path: string;
  file: string;
  /** Whether a part of it may be asked for. */
  ranges: boolean;
  terminal: Terminal;
  quiet: boolean;
};

/** What came: `sha256` where the appliance told it and it was compared. */
export type Downloaded = { file: string; bytes: number; sha256?: string };

/**
 * Fetches content into a file: under a name with its ETag until it is whole, holes left out. What is there of it from an
 * earlier, broken attempt is not fetched again. EXISTS when there is such a file; CONFLICT when the
 * checksum is another one.
 */
export async function download(one: Download): Promise<Downloaded> {
  const { file } = one;
  if (await sizeOf(file)) {
    throw new ApplianceError("EXISTS", `${file} is there already`, {
      details: { field: "file", value: file, remedy: "name another file, or remove that one" },
    });
  }
  for (let tries = 1; ; tries++) {
    const { etag } = await one.api.head(one.path);
    const part = `${file}.${etag?.replaceAll('"', "") ?? "new"}.part`;
    try {
      return await downloadTo(part, one, etag);
    } catch (error) {
      if (!(error instanceof OtherContent)) throw error;
      await rm(part);
      if (tries === TRIES)
        throw new ApplianceError("CONFLICT", "the content is another one each time that it is asked for");
    }
  }
}

/** What came is of another ETag, or would have been had it come: it must not go to where the former one's is. */
class OtherContent extends Error {}

async function downloadTo(part: string, one: Download, etag: string | undefined): Promise<Downloaded> {
  const { file } = one;
  // made where it is not there, and not opened to append: that would write at its end only
  await (await open(part, one.ranges ? "a" : "w", 0o644)).close();
  const target = await open(part, "r+");
  try {
    const { bytes, digest } = await fetchAll(one, target, etag);
    await target.truncate(bytes);
    await target.sync();
    const sha256 = digest && (await compare(part, digest));
    await rename(part, file);
    return { file, bytes, ...(sha256 ? { sha256 } : {}) };
  } finally {
    await target.close();
  }
}

type Fetched = { bytes: number; digest?: string };

async function fetchAll(one: Download, target: FileHandle, etag: string | undefined): Promise<Fetched> {
  let position = one.ranges ? (await target.stat()).size : 0;
  for (let failures = 0; ; ) {
    const began = position;
    try {
      return await fetchRest(one, target, position, etag);
    } catch (error) {
      position = (await target.stat()).size;
      failures = position > began ? 0 : failures + 1;
      if (!isApplianceError(error, "UNAVAILABLE") || !one.ranges || failures >= TRIES) throw error;
      await pause(PAUSE_MS);
    }
  }
}

async function fetchRest(
  { api, path, ranges, terminal, quiet }: Download,
  target: FileHandle,
  from: number,
  etag: string | undefined,
): Promise<Fetched> {
  const partly = ranges && from > 0 && etag !== undefined;
  const answer = await api.fetch(path, partly ? { Range: `bytes=${from}-`, "If-Range": etag } : {}).catch((error) => {
    // laid out anew between the appliance's look at it and its first byte
    if (isApplianceError(error, "CONFLICT") && error.details.field === "layout") throw new OtherContent();
    throw error;
  });
  if (answer.headers.etag !== etag) {
    answer.body.destroy();
    throw new OtherContent();
  }
  // all of it is there
  if (answer.status === 416) return { bytes: from, ...digestOf(answer.headers) };
  let position = answer.status === 206 ? from : 0;
  if (position === 0) await target.truncate(0);
  const length = Number(answer.headers["content-length"] ?? Number.NaN);
  const total = Number.isNaN(length) ? undefined : position + length;
  let told = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      for (const [offset, block] of blocksOfContent(chunk)) await writeFully(target, block, position + offset);
      position += chunk.length;
      if (quiet || Date.now() - told < TELL_MS || !terminal.isWatched) continue;
      told = Date.now();
      const of = total === undefined ? "" : ` of ${formatBytes(total)}, ${Math.floor((100 * position) / total)} %`;
      terminal.err(`${CLEAR}${formatBytes(position)}${of}`);
    }
  } catch (cause) {
    throw brokenOff(cause);
  } finally {
    if (told > 0) terminal.err(CLEAR);
    // a hole at the end counts too
    await target.truncate(position);
  }
  if (total !== undefined && position < total) throw brokenOff(undefined);
  return { bytes: position, ...digestOf(answer.headers) };
}

/** RFC 9530 2: `sha-256=:base64:`. */
function digestOf(headers: IncomingHttpHeaders): { digest?: string } {
  const base64 = /sha-256=:([^:]+):/.exec(String(headers["repr-digest"]))?.[1];
  return base64 === undefined ? {} : { digest: Buffer.from(base64, "base64").toString("hex") };
}

async function compare(file: string, expected: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  const sha256 = hash.digest("hex");
  if (sha256 === expected) return sha256;
  throw new ApplianceError("CONFLICT", `${file}: its checksum is ${sha256}, the appliance's ${expected}`, {
    details: { field: "file", value: file, remedy: "remove that file and fetch it again" },
  });
}

async function sizeOf(file: string): Promise<{ size: number } | undefined> {
  return stat(file).catch((error) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
}

function brokenOff(cause: unknown): ApplianceError {
  return new ApplianceError("UNAVAILABLE", "the download broke off", {
    details: { remedy: "the same command goes on where it ended" },
    cause,
  });
}
