import { expect, it } from "vitest";
import { wrap } from "../../../src/cli/text/wrap.ts";

it.each([
  ["fits as it is", "ok      pool   free", 20, 2, "ok      pool   free"],
  ["is broken at the last blank that fits", "one two three", 7, 2, "one two\n  three"],
  ["keeps a long word whole", "see /usr/share/ingot now", 8, 1, "see\n /usr/share/ingot\n now"],
  ["begins with a long word", "/usr/share/ingot now", 8, 1, "/usr/share/ingot\n now"],
  ["keeps blanks at the begin", "        remedy: wait", 16, 10, "        remedy:\n          wait"],
])("%s", (_what, text, width, indent, wrapped) => {
  expect(wrap(text, width, indent)).toBe(wrapped);
});
