import { type FileHandle, open, readFile, rm, writeFile } from "node:fs/promises";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { dirname } from "node:path";
import { ApplianceError, isApplianceError } from "../errors.ts";
import { appendSparsely } from "../values/append-sparsely.ts";
import type { AddressGuard } from "./address-guard.ts";
import { describeIncomingFailure } from "./incoming-failure.ts";
import { passBytes } from "./pass-bytes.ts";

export type FetchRequest = {
  url: string;
  /** Where the bytes go. What an earlier try left there is gone on with, if the server still has the same file. */
  path: string;
  /** Beside it: which version of the file that is. */
  originPath: string;
  /** Asked before the first byte is written, and before each piece where no length is announced: throws where there is no room for so many. */
  checkSize: (bytes: number) => Promise<void>;
  progress: (doneBytes: number, totalBytes: number) => void;
  signal: AbortSignal;
};

/** Brings a file here by http or https. The bytes are on disk when it resolves. */
export type FetchFile = (request: FetchRequest) => Promise<{ sizeBytes: number }>;

export type FetchOptions = {
  guard: AddressGuard;
  /** A server that sends nothing for so long is given up. */
  stallSeconds: () => number;
};

const REDIRECTS = 5;

/**
 * Fetches files. Every address is judged when it is connected to, after every redirect again. Fails with INVALID (no such
 * URL, or an answer that can't be a file), FORBIDDEN (as the guard), NOT_FOUND, CANCELLED, POOL_FULL and DRIVER_FAILED
 * (the disk here), and UNAVAILABLE (retryable) when the server is down, stalls, or ends too early: the next try goes on
 * where this one ended.
 */
export function createFetchFile({ guard, stallSeconds }: FetchOptions): FetchFile {
  return async (one) => {
    const stalled = new AbortController();
    const signal = AbortSignal.any([one.signal, stalled.signal]);
    let timer: NodeJS.Timeout | undefined;
    const alive = () => {
      clearTimeout(timer);
      const seconds = stallSeconds();
      timer = setTimeout(() => stalled.abort(unavailable(one.url, `nothing came for ${seconds} s`)), seconds * 1000);
    };
    alive();
    try {
      return await fetchOnce(one, guard, signal, alive);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw describeIncomingFailure(dirname(one.path), error);
    } finally {
      clearTimeout(timer);
    }
  };
}

async function fetchOnce(one: FetchRequest, guard: AddressGuard, signal: AbortSignal, alive: () => void) {
  const file = await open(one.path, "a+", 0o600);
  try {
    // qemu-img reads it as nobody; the folder keeps others out
    await file.chmod(0o644);
    const begun = (await file.stat()).size;
    const origin = begun > 0 ? await readFile(one.originPath, "utf8").catch(() => "") : "";
    const range: Record<string, string> = origin === "" ? {} : { Range: `bytes=${begun}-`, "If-Range": origin };
    const response = await follow(one.url, range, guard, signal).catch((error) => {
      throw ofServer(one.url, error);
    });
    alive();
    try {
      return await save(response, file, { one, begun: origin === "" ? 0 : begun, alive });
    } finally {
      response.destroy();
    }
  } finally {
    await file.close();
  }
}

type Saving = { one: FetchRequest; begun: number; alive: () => void };

async function save(response: IncomingMessage, file: FileHandle, { one, begun, alive }: Saving) {
  const { statusCode: status = 0, headers } = response;
  if (headers["content-encoding"] !== undefined && headers["content-encoding"] !== "identity") {
    throw refused(one.url, `the server packs its answer (${headers["content-encoding"]}) although it must not`);
  }
  const { from, total } = status === 206 ? partOf(response, one.url) : { from: 0, total: lengthOf(response) };
  if (status === 206 && from !== begun) {
    throw refused(one.url, "the server sends another part than was asked for");
  }
  if (from === 0) {
    await rm(one.originPath, { force: true });
    await file.truncate(0);
    const validator = strongValidator(response);
    if (validator) await writeFile(one.originPath, validator, { mode: 0o600 });
  }
  if (total !== undefined) await one.checkSize(total);
  let position = from;
  for await (const piece of piecesOf(response, one.url)) {
    alive();
    if (position + piece.length > (total ?? Number.POSITIVE_INFINITY)) {
      throw refused(one.url, `the server sends more than the ${total} bytes that it announced`);
    }
    if (total === undefined) await one.checkSize(position + piece.length);
    await appendSparsely(file, piece, position);
    position += piece.length;
    passBytes(piece.length);
    one.progress(position, total ?? position);
  }
  await file.datasync();
  if (!response.complete || (total !== undefined && position !== total)) {
    throw unavailable(one.url, `the answer ended after ${position} bytes`);
  }
  if (position === 0) throw refused(one.url, "the file there is empty");
  return { sizeBytes: position };
}

/** The answer to a GET, redirects followed. */
async function follow(
  url: string,
  headers: Record<string, string>,
  guard: AddressGuard,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let at = parseUrl(url);
  let credentials = credentialsOf(at);
  for (let hop = 0; hop <= REDIRECTS; hop++) {
    const response = await get(at, { ...headers, ...credentials }, guard, signal);
    const { statusCode: status = 0, headers: answered } = response;
    if (status === 200 || (status === 206 && headers.Range !== undefined)) return response;
    response.destroy();
    if (status === 416 && headers.Range !== undefined) return follow(url, {}, guard, signal);
    if (status >= 300 && status < 400 && answered.location !== undefined) {
      const next = parseUrl(answered.location, at);
      if (at.protocol === "https:" && next.protocol === "http:") throw refused(url, "it redirects from https to http");
      // RFC 9110 15.4: they were meant for that server alone
      credentials = next.origin === at.origin ? credentials : credentialsOf(next);
      at = next;
      continue;
    }
    if (status >= 500 || status === 429) throw unavailable(url, `the server answered ${status}`);
    throw answerRefused(url, status);
  }
  throw refused(url, `it redirects more than ${REDIRECTS} times`);
}

async function get(
  url: URL,
  headers: Record<string, string>,
  guard: AddressGuard,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const addresses = await guard(url.hostname);
  return new Promise((resolve, reject) => {
    const isSecure = url.protocol === "https:";
    const options: RequestOptions = {
      method: "GET",
      headers: { Accept: "*/*", "Accept-Encoding": "identity", "User-Agent": "ingot", ...headers },
      // one connection each: none may be taken up again that was made for another address
      agent: isSecure ? new HttpsAgent({ keepAlive: false }) : new HttpAgent({ keepAlive: false }),
      // the addresses that were judged, and no others; literal ones are never looked up, and were judged all the same
      lookup: (_host, { all }, answer) => {
        if (all) answer(null, addresses);
        else answer(null, addresses[0]!.address, addresses[0]!.family);
      },
      signal,
    };
    const asked = new URL(url);
    asked.username = "";
    asked.password = "";
    const request = (isSecure ? httpsRequest : httpRequest)(asked, options, resolve);
    request.on("error", reject);
    request.end();
  });
}

/** An http or https URL; INVALID otherwise. */
export function parseUrl(text: string, base?: URL): URL {
  const url = URL.canParse(text, base?.href) ? new URL(text, base) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.hostname !== "") return url;
  throw new ApplianceError(
    "INVALID",
    `url: this is no http or https URL${base ? ", but the server redirects to it" : ""}`,
    {
      details: {
        field: "url",
        value: url ? url.protocol : undefined,
        remedy: "write it like https://example.org/debian.qcow2",
      },
    },
  );
}

/** A URL as people may see it: without credentials, and without the query, which may be one. */
export function publicUrl(text: string): string {
  const { origin, pathname } = parseUrl(text);
  return origin + pathname;
}

function credentialsOf(url: URL): Record<string, string> {
  if (url.username === "" && url.password === "") return {};
  const plain = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { Authorization: `Basic ${Buffer.from(plain).toString("base64")}` };
}

/** Where the part that a 206 brings begins, and how long the whole file is. A server may send less than was asked for. */
function partOf({ headers }: IncomingMessage, url: string): { from: number; total: number } {
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers["content-range"] ?? "") ?? [];
  if (from !== undefined && total !== undefined) return { from: Number(from), total: Number(total) };
  throw refused(url, "the server does not say which part it sends, and of how much");
}

/** Undefined where the server does not say. */
function lengthOf({ headers }: IncomingMessage): number | undefined {
  return headers["content-length"] === undefined ? undefined : Number(headers["content-length"]);
}

async function* piecesOf(response: IncomingMessage, url: string): AsyncGenerator<Buffer> {
  try {
    yield* response;
  } catch (error) {
    throw ofServer(url, error);
  }
}

/** What If-Range takes (RFC 9110 13.1.5): neither a weak tag nor a date whose second is not over promises the same bytes. */
function strongValidator({ headers }: IncomingMessage): string | undefined {
  if (headers.etag !== undefined) return headers.etag.startsWith("W/") ? undefined : headers.etag;
  const [modified, date] = [headers["last-modified"], headers.date].map((text) => Date.parse(text ?? ""));
  return date! - modified! >= 1000 ? headers["last-modified"] : undefined;
}

/** What failed on the way to the server, or there. */
function ofServer(url: string, error: unknown): unknown {
  if (isApplianceError(error)) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  return unavailable(url, message || (code ?? "no connection"), error);
}

function answerRefused(url: string, status: number): ApplianceError {
  if (status === 404 || status === 410) {
    return new ApplianceError("NOT_FOUND", `url: the server has no ${publicUrl(url)}`, {
      details: { field: "url", value: publicUrl(url), remedy: "see the spelling" },
    });
  }
  return refused(url, `the server answered ${status}`);
}

function refused(url: string, why: string): ApplianceError {
  return new ApplianceError("INVALID", `url: ${why}`, {
    details: { field: "url", value: publicUrl(url), remedy: "name a URL that answers with the file itself" },
  });
}

function unavailable(url: string, why: string, cause?: unknown): ApplianceError {
  return new ApplianceError("UNAVAILABLE", `url: ${why}`, {
    details: { field: "url", value: publicUrl(url), remedy: "see whether the server is well, then import again" },
    cause,
  });
}
