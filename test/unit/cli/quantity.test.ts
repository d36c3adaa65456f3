import { describe, expect, it } from "vitest";
import { formatAgo, formatBytes, formatDuration } from "../../../src/cli/text/quantity.ts";

const NOW = Date.parse("2026-11-20T12:00:00.000Z");

describe("quantities", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [10 * 1024, "10 KiB"],
    [1_048_575, "1.0 MiB"],
    [804_000_000, "767 MiB"],
    [2.4 * 1024 ** 3, "2.4 GiB"],
    [3 * 1024 ** 5, "3.0 PiB"],
  ])("%d bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [0, "0.0 s"],
    [0.42, "0.4 s"],
    [9.96, "10 s"],
    [59.4, "59 s"],
    [59.6, "1 min"],
    [125, "2 min 5 s"],
    [3599.7, "1 h"],
    [12_000, "3 h 20 min"],
    [86_400, "1 d"],
    [353_000, "4 d 2 h"],
  ])("%d seconds are %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it.each([
    [0, "just now"],
    [42, "42 s ago"],
    [200, "3 min ago"],
    [7300, "2 h ago"],
    [500_000, "5 d ago"],
    [-2400, "in 40 min"],
  ])("%d seconds back is %s", (seconds, text) => {
    expect(formatAgo(new Date(NOW - seconds * 1000).toISOString(), NOW)).toBe(text);
  });
});
