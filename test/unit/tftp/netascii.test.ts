import { expect, it } from "vitest";
import { toNetascii } from "../../../src/tftp/netascii.ts";

it.each([
  ["", ""],
  ["one line", "one line"],
  ["a\nb\n", "a\r\nb\r\n"],
  ["a\rb", "a\r\0b"],
  ["a\r\nb", "a\r\0\r\nb"],
])("writes %j as %j in netascii", (text, netascii) => {
  expect(toNetascii(Buffer.from(text)).toString()).toBe(netascii);
});
