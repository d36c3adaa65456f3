import { describe, expect, it } from "vitest";
import { editDistance, nearest } from "../../../src/config/nearest.ts";

describe("edit distance", () => {
  it.each([
    ["", "", 0],
    ["", "abc", 3],
    ["abc", "", 3],
    ["kitten", "sitting", 3],
    ["ab", "ba", 1],
    ["subent", "subnet", 1],
    ["same", "same", 0],
  ])("%j to %j is %i", (from, to, distance) => {
    expect(editDistance(from, to)).toBe(distance);
    expect(editDistance(to, from)).toBe(distance);
  });
});

describe("the nearest word", () => {
  const keys = ["subnet", "portals", "leaseSeconds", "dns", "log", "address"];
  it.each([
    ["subnett", "subnet"],
    ["lease_seconds", "leaseSeconds"],
    ["LEASESECONDS", "leaseSeconds"],
    ["adress", "address"],
    ["dsn", "dns"],
    ["foo", undefined],
    ["completely", undefined],
    ["", undefined],
  ])("of %j is %j", (word, expected) => {
    expect(nearest(word, keys)).toBe(expected);
  });
});
