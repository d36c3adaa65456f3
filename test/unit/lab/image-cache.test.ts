import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { cachedImage } from "../../lab/image/image-cache.ts";

const HOUR = 3600;
let cache: string;
let built: string[];

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "ingot-cache-"));
  built = [];
});
afterEach(() => rmSync(cache, { recursive: true }));

const image = (name: string, ingredient: string) =>
  cachedImage(cache, name, [ingredient], async (work) => {
    built.push(ingredient);
    writeFileSync(join(work, "image.raw"), ingredient);
  });

const age = (path: string, hours: number) => {
  const then = Date.now() / 1000 - hours * HOUR;
  utimesSync(path, then, then);
};

it("is built once for the same ingredients", async () => {
  const path = await image("tiny", "flour");
  expect(await image("tiny", "flour")).toBe(path);
  expect(readFileSync(path, "utf8")).toBe("flour");
  expect(await image("tiny", "salt")).not.toBe(path);
  expect(built).toEqual(["flour", "salt"]);
});

it("takes the place of those of its name that nobody used for a day", async () => {
  const old = await image("tiny", "old");
  const used = await image("tiny", "used");
  const recent = await image("tiny", "recent");
  const others = [await image("debian", "old"), await image("tiny-debian", "old"), join(cache, "tiny-notes.raw")];
  writeFileSync(others[2]!, "");
  for (const path of [old, used, ...others]) age(path, 25);
  age(recent, 23);
  expect(await image("tiny", "used")).toBe(used);
  expect(existsSync(old)).toBe(true);

  await image("tiny", "new");
  expect([old, used, recent, ...others].map((path) => existsSync(path))).toEqual([false, true, true, true, true, true]);
});

it("removes what builders left that were killed", async () => {
  const left = mkdtempSync(join(cache, "building-"));
  const atWork = mkdtempSync(join(cache, "building-"));
  age(left, 2);
  await image("tiny", "flour");
  expect([existsSync(left), existsSync(atWork)]).toEqual([false, true]);
});
