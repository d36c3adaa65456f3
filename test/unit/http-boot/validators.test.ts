import { describe, expect, it } from "vitest";
import { checkPreconditions, formatHttpDate, parseHttpDate, rangeApplies } from "../../../src/http/boot/validators.ts";

const SECONDS = 784111777;
const DATE = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER = formatHttpDate(SECONDS - 1);
const LATER = formatHttpDate(SECONDS + 1);
const FILE = { etag: '"a-1"', modifiedSeconds: SECONDS };

const headers = (values: Record<string, string>) => (name: string) => values[name];

describe("a date in a header", () => {
  it.each([DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])(
    "%s is read (RFC 9110 5.6.7)",
    (date) => {
      expect(parseHttpDate(date)).toBe(SECONDS);
    },
  );
  it.each(["", "yesterday", "1994-11-06", "784111777", "Sun, 06 Nov 1994 08:49:37 CET", `${DATE}x`])(
    "%j is none",
    (text) => expect(parseHttpDate(text)).toBeUndefined(),
  );
  it("is written as it is read", () => expect(formatHttpDate(SECONDS)).toBe(DATE));
});

describe("a conditional request", () => {
  it.each([
    [{}, 200],
    [{ "If-None-Match": '"a-1"' }, 304],
    [{ "If-None-Match": 'W/"a-1"' }, 304],
    [{ "If-None-Match": '"x", "a-1"' }, 304],
    [{ "If-None-Match": "*" }, 304],
    [{ "If-None-Match": '"x"' }, 200],
    [{ "If-None-Match": "a-1" }, 200],
    [{ "If-Modified-Since": DATE }, 304],
    [{ "If-Modified-Since": LATER }, 304],
    [{ "If-Modified-Since": EARLIER }, 200],
    [{ "If-Modified-Since": "nonsense" }, 200],
    [{ "If-None-Match": '"x"', "If-Modified-Since": DATE }, 200], // the tag decides alone
    [{ "If-Match": '"a-1"' }, 200],
    [{ "If-Match": "*" }, 200],
    [{ "If-Match": '"x","y"' }, 412],
    [{ "If-Match": 'W/"a-1"' }, 412], // strong comparison
    [{ "If-Unmodified-Since": DATE }, 200],
    [{ "If-Unmodified-Since": EARLIER }, 412],
    [{ "If-Unmodified-Since": "nonsense" }, 200],
    [{ "If-Match": '"a-1"', "If-Unmodified-Since": EARLIER }, 200],
    [{ "If-Match": '"x"', "If-None-Match": '"a-1"' }, 412],
    [{ "If-Unmodified-Since": DATE, "If-None-Match": '"a-1"' }, 304],
  ])("with %j is answered %i", (values, status) => {
    expect(checkPreconditions(headers(values), FILE)).toBe(status);
  });
});

describe("If-Range", () => {
  it.each([
    [undefined, true],
    ['"a-1"', true],
    ['"x"', false],
    ['W/"a-1"', false],
    [DATE, true],
    [EARLIER, false],
    [LATER, false],
    ["nonsense", false],
  ])("%s lets the range count: %s", (value, applies) => {
    const header = headers(value === undefined ? {} : { "If-Range": value });
    expect(rangeApplies(header, FILE, SECONDS + 100)).toBe(applies);
  });

  it("does not trust a date whose second may not be over", () => {
    expect(rangeApplies(headers({ "If-Range": DATE }), FILE, SECONDS)).toBe(false);
  });
});
