import { ApplianceError } from "../../errors.ts";

const MAX_FACTS = 16;
const MAX_LENGTH = 256;

/**
 * What a phone-home tells of its OS: a JSON object, or a form as `wget --post-data` and `curl -d` send it
 * (`kernel=6.1&serial=X`), or any other text, kept as `text`. At most 16 facts of 256 printable characters; more is cut.
 * INVALID for JSON that is none.
 */
export function readyFacts(body: string, contentType: string): Record<string, string> {
  if (body.trim() === "") return {};
  const pairs = contentType.includes("json") ? jsonPairs(body) : textPairs(body);
  const clean = (text: string) =>
    text
      .replace(/[^\x20-\x7e]/g, " ")
      .trim()
      .slice(0, MAX_LENGTH);
  return Object.fromEntries(
    pairs
      .slice(0, MAX_FACTS)
      .map(([name, value]) => [clean(name), clean(value)] as const)
      .filter(([name]) => name !== "" && name !== "__proto__"),
  );
}

function textPairs(body: string): [string, string][] {
  return /^[\w.-]+=/.test(body) ? [...new URLSearchParams(body.trim())] : [["text", body]];
}

function jsonPairs(body: string): [string, string][] {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (cause) {
    throw notAnObject(cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw notAnObject();
  return Object.entries(value).map(([name, one]) => [name, typeof one === "string" ? one : JSON.stringify(one)]);
}

function notAnObject(cause?: unknown): ApplianceError {
  return new ApplianceError("INVALID", "body: this is not a JSON object", {
    cause,
    details: { field: "body", remedy: 'send {"kernel":"6.1"}, or no body at all' },
  });
}
