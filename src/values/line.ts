import { ApplianceError } from "../errors.ts";

const CONTROL = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/;

/** Text of people's own that fits one line: the text itself; INVALID when it is longer, or holds control characters. */
export function parseLine(text: string, field: string, letters: number): string {
  if (text.length <= letters && !CONTROL.test(text)) return text;
  throw new ApplianceError("INVALID", `${field}: use one line of at most ${letters} letters`, {
    details: { field, value: text.slice(0, 80), remedy: "shorten it, and leave line breaks out" },
  });
}

/** What people say of a thing, in at most 1,000 letters. */
export function parseDescription(text: string): string {
  return parseLine(text, "description", 1000);
}
