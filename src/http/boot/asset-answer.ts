import { randomBytes } from "node:crypto";
import { type ByteRange, parseByteRanges } from "./byte-ranges.ts";
import { checkPreconditions, formatHttpDate, type HeaderOf, rangeApplies, type Validators } from "./validators.ts";

/** What a client gets for a file: texts as they stand, ranges out of the file. No parts: no body. */
export type AssetAnswer = {
  status: 200 | 206 | 304 | 412 | 416;
  headers: Record<string, string>;
  parts: (string | ByteRange)[];
};

export type AssetRequest = { method: string; header: HeaderOf; nowSeconds: number };
export type AssetState = Validators & { sizeBytes: number; type: string };

/** The answer to a GET or HEAD of a file in this state (RFC 9110 13.2.2, 14.2). HEAD has the headers of GET, its body is left out. */
export function answerAsset(request: AssetRequest, file: AssetState): AssetAnswer {
  const { header, nowSeconds } = request;
  const headers: Record<string, string> = {
    "Accept-Ranges": "bytes",
    ETag: file.etag,
    // RFC 9110 8.8.2.1: never later than now, even where the file's time is.
    "Last-Modified": formatHttpDate(Math.min(file.modifiedSeconds, nowSeconds)),
  };
  const status = checkPreconditions(header, file);
  if (status === 304) return { status, headers, parts: [] };
  if (status === 412) return { status, headers: { ...headers, "Content-Length": "0" }, parts: [] };

  const asked = request.method === "GET" && rangeApplies(header, file, nowSeconds) ? header("Range") : undefined;
  const ranges = asked === undefined ? undefined : parseByteRanges(asked, file.sizeBytes);
  const [range, second] = ranges ?? [];
  if (ranges === undefined) {
    const parts = file.sizeBytes > 0 ? [{ first: 0, last: file.sizeBytes - 1 }] : [];
    return { status, headers: { ...headers, ...bodyHeaders(file.type, parts) }, parts };
  }
  if (range === undefined) {
    const unsatisfied = { "Content-Range": `bytes */${file.sizeBytes}`, "Content-Length": "0" };
    return { status: 416, headers: { ...headers, ...unsatisfied }, parts: [] };
  }
  if (second === undefined) {
    const contentRange = { "Content-Range": formatContentRange(range, file.sizeBytes) };
    return {
      status: 206,
      headers: { ...headers, ...bodyHeaders(file.type, [range]), ...contentRange },
      parts: [range],
    };
  }
  // RFC 9110 14.6: multipart/byteranges.
  const boundary = randomBytes(12).toString("hex");
  const parts = [...ranges.flatMap((one) => [partHeader(boundary, one, file), one]), `\r\n--${boundary}--\r\n`];
  const type = `multipart/byteranges; boundary=${boundary}`;
  return { status: 206, headers: { ...headers, ...bodyHeaders(type, parts) }, parts };
}

function bodyHeaders(type: string, parts: AssetAnswer["parts"]): Record<string, string> {
  let bytes = 0;
  for (const part of parts) bytes += typeof part === "string" ? part.length : part.last - part.first + 1;
  return { "Content-Type": type, "Content-Length": String(bytes) };
}

function partHeader(boundary: string, range: ByteRange, file: AssetState): string {
  const contentRange = formatContentRange(range, file.sizeBytes);
  return `\r\n--${boundary}\r\nContent-Type: ${file.type}\r\nContent-Range: ${contentRange}\r\n\r\n`;
}

/** RFC 9110 14.4. */
function formatContentRange(range: ByteRange, sizeBytes: number): string {
  return `bytes ${range.first}-${range.last}/${sizeBytes}`;
}
