import type { BigIntStats } from "node:fs";

/** What tells one state of a file from another (RFC 9110 8.8). */
export type Validators = {
  /** Strong: any write, and any other file under the same name, changes it. */
  etag: string;
  /** Whole seconds since the epoch. */
  modifiedSeconds: number;
};

/** The validators of a file from `stat`. */
export function validatorsOf(stats: BigIntStats): Validators {
  const parts = [stats.ino, stats.size, stats.mtimeNs].map((part) => part.toString(36));
  return { etag: `"${parts.join("-")}"`, modifiedSeconds: Number(stats.mtimeMs / 1000n) };
}

/** The time in the form of Last-Modified. */
export function formatHttpDate(seconds: number): string {
  return new Date(seconds * 1000).toUTCString();
}

/** Seconds since the epoch of any of the three forms of RFC 9110 5.6.7; undefined for everything else. */
export function parseHttpDate(text: string): number | undefined {
  const imf = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
  const rfc850 = /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/;
  const asctime = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/;
  const zoned = imf.test(text) || rfc850.test(text) ? text : asctime.test(text) ? `${text} GMT` : "";
  const milliseconds = Date.parse(zoned);
  return Number.isNaN(milliseconds) ? undefined : milliseconds / 1000;
}

/** A request header's value by its name. */
export type HeaderOf = (name: string) => string | undefined;

/** Whether to answer as asked, or with 304 or 412, in the order of RFC 9110 13.2.2. For GET and HEAD. */
export function checkPreconditions(header: HeaderOf, file: Validators): 200 | 304 | 412 {
  const ifMatch = header("If-Match");
  const unmodifiedSince = dateIn(header, "If-Unmodified-Since");
  if (ifMatch !== undefined) {
    if (!lists(ifMatch, file.etag, false)) return 412;
  } else if (unmodifiedSince !== undefined && file.modifiedSeconds > unmodifiedSince) {
    return 412;
  }
  const ifNoneMatch = header("If-None-Match");
  if (ifNoneMatch !== undefined) return lists(ifNoneMatch, file.etag, true) ? 304 : 200;
  const modifiedSince = dateIn(header, "If-Modified-Since");
  return modifiedSince !== undefined && file.modifiedSeconds <= modifiedSince ? 304 : 200;
}

/**
 * Whether the Range header counts (RFC 9110 13.1.5): without If-Range, or when
 * it names this very state. A date does only once its second is over, as the
 * file may change twice within it (RFC 9110 8.8.2.2).
 */
export function rangeApplies(header: HeaderOf, file: Validators, nowSeconds: number): boolean {
  const ifRange = header("If-Range")?.trim();
  if (ifRange === undefined) return true;
  if (ifRange.startsWith('"')) return ifRange === file.etag;
  return parseHttpDate(ifRange) === file.modifiedSeconds && file.modifiedSeconds + 1 < nowSeconds;
}

function dateIn(header: HeaderOf, name: string): number | undefined {
  const text = header(name);
  return text === undefined ? undefined : parseHttpDate(text.trim());
}

/** Whether a list of entity tags, or `*`, has this one. Weak tags match only in the weak comparison (RFC 9110 8.8.3.2). */
function lists(tags: string, etag: string, weakly: boolean): boolean {
  if (tags.trim() === "*") return true;
  for (const [tag] of tags.matchAll(/(?:W\/)?"[^"]*"/g)) {
    if (tag === etag || (weakly && tag === `W/${etag}`)) return true;
  }
  return false;
}
