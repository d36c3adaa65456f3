import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ResidentPages } from "../../../src/net/resident-pages.ts";

const MIB = 1024 * 1024;
let directory: string;
let fd: number;
let pages: ResidentPages;

beforeEach(() => {
  // not /tmp: what lies in memory can't be dropped from the cache
  directory = mkdtempSync("/var/tmp/ingot-resident-");
  writeFileSync(join(directory, "file"), Buffer.alloc(2 * MIB, 1));
  fd = openSync(join(directory, "file"), "r");
  pages = ResidentPages.open(fd, 2 * MIB) as ResidentPages;
});
afterEach(() => {
  pages.close();
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

it("knows what was just written or read, up to the end", () => {
  expect(pages.has(0, 2 * MIB)).toBe(true);
  expect(pages.has(5000, MIB)).toBe(true);
  expect(pages.has(MIB, MIB + 1)).toBe(false);
});

it("knows what was dropped, until it is read again", () => {
  const file = join(directory, "file");
  execFileSync("dd", [`of=${file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
  expect(pages.has(0, MIB)).toBe(false);
  readFileSync(file);
  expect(pages.has(0, MIB)).toBe(true);
});

it("maps no file that is none", () => {
  expect(ResidentPages.open(-1, MIB)).toBeUndefined();
});
