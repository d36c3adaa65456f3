import { createHash } from "node:crypto";

/** What the first link of a chain follows. */
export const CHAIN_START = "0".repeat(64);

/**
 * A value as a link of a chain: one line of JSON that ends in the SHA-256 of the link before it and of itself. Whoever knows
 * a later link's hash can tell whether this one was changed, taken out or put in.
 */
export function forgeLink(value: object, before: string): { line: string; hash: string } {
  const hash = hashOf(JSON.stringify(value), before);
  return { line: JSON.stringify({ ...value, hash }), hash };
}

/** The value and hash of a link; undefined where it is none, or does not follow the one before it. */
export function readLink(line: string, before: string): { value: Record<string, unknown>; hash: string } | undefined {
  const link = parseLink(line);
  return link && hashOf(JSON.stringify(link.value), before) === link.hash ? link : undefined;
}

/** The value and hash of a link, whatever is before it; undefined where it is none. */
export function parseLink(line: string): { value: Record<string, unknown>; hash: string } | undefined {
  try {
    const { hash, ...value } = JSON.parse(line);
    return /^[0-9a-f]{64}$/.test(hash) ? { value, hash } : undefined;
  } catch {
    return undefined;
  }
}

function hashOf(body: string, before: string): string {
  return createHash("sha256").update(`${before}\n${body}`).digest("hex");
}
