import { beforeEach, expect, it } from "vitest";
import { KeptMaps } from "../../../src/drivers/images/kept-maps.ts";

const GIB = 1024 ** 3;

let maps: KeptMaps;
/** Images whose extents were asked for. */
let walked: string[];
beforeEach(() => {
  maps = new KeptMaps(10 * 1024);
  walked = [];
});

/** An image of which so much is written, from its beginning on: 2 KiB of map for each GiB, and one more. */
const ask = async (image: string, gib: number, sizeBytes = gib * GIB) =>
  maps.of(image, sizeBytes, async (found) => {
    walked.push(image);
    if (gib > 0) found(0, gib * GIB);
  });

it("makes one map for whoever asks, until it is forgotten", async () => {
  const map = await ask("img-1", 1);
  expect(map.count).toBe(GIB / 65_536);
  expect(await ask("img-1", 1)).toBe(map);
  await ask("img-2", 1);
  expect(await ask("img-1", 1)).toBe(map);
  expect(walked).toEqual(["img-1", "img-2"]);
  maps.forget("img-1");
  await ask("img-1", 0, GIB).then(({ count }) => expect(count).toBe(0));
  await ask("img-2", 1);
  expect(walked).toEqual(["img-1", "img-2", "img-1"]);
});

it("makes another one for content of another length", async () => {
  await ask("img-1", 1);
  expect((await ask("img-1", 1, 2 * GIB)).sizeBytes).toBe(2 * GIB);
  expect(walked).toHaveLength(2);
});

it("keeps none of what could not be looked through", async () => {
  const broken = maps.of("img-1", GIB, async (found) => {
    found(0, 1);
    throw new Error("no answer");
  });
  await expect(broken).rejects.toThrow("no answer");
  expect((await ask("img-1", 1)).count).toBe(GIB / 65_536);
});

it("keeps the last ones within its bounds, and the very last whatever its size", async () => {
  for (const image of ["img-1", "img-2", "img-3"]) await ask(image, 1);
  await ask("img-1", 1);
  await ask("img-4", 1);
  for (const image of ["img-4", "img-1", "img-3"]) await ask(image, 1);
  expect(walked).toEqual(["img-1", "img-2", "img-3", "img-4"]);
  await ask("img-2", 1);
  expect(walked.splice(0)).toEqual(["img-1", "img-2", "img-3", "img-4", "img-2"]);
  await ask("img-5", 20);
  await ask("img-5", 20);
  expect(walked).toEqual(["img-5"]);
  await ask("img-2", 1);
  await ask("img-5", 20);
  expect(walked).toEqual(["img-5", "img-2", "img-5"]);
});
