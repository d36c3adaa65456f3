import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Ballast } from "../../../src/drivers/images/ballast.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-ballast-"));
  writeFileSync(join(directory, "reserve"), Buffer.alloc(1024 ** 2, "r"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const noRoom = () => Object.assign(new Error("no space left"), { code: "ENOSPC" });

it("lends the whole reserve to one after the other, and has it back each time", async () => {
  const ballast = new Ballast(directory);
  const tries: string[] = [];
  let borrowers = 0;
  const run = (name: string) => async () => {
    if (existsSync(join(directory, "reserve"))) throw noRoom();
    borrowers += 1;
    tries.push(`${name} among ${borrowers}`);
    await new Promise(setImmediate);
    borrowers -= 1;
    return name;
  };
  expect(await Promise.all(["a", "b", "c"].map((name) => ballast.lend(run(name))))).toEqual(["a", "b", "c"]);
  expect(tries).toEqual(["a among 1", "b among 1", "c among 1"]);
  expect(existsSync(join(directory, "reserve"))).toBe(true);
});

it("passes on what is no want of room, and that when there is no reserve", async () => {
  const ballast = new Ballast(directory);
  await expect(ballast.lend(() => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(existsSync(join(directory, "reserve"))).toBe(true);
  rmSync(join(directory, "reserve"));
  await expect(ballast.lend(() => Promise.reject(noRoom()))).rejects.toThrow("no space left");
});
