/** What an increment may take of the pool. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { applyIncrement } from "../../../src/drivers/images/exchange/apply-increment.ts";
import { ApplianceError } from "../../../src/errors.ts";
import { MemoryImageStore } from "../../fakes/memory-image-store.ts";

const MIB = 1024 ** 2;
const signal = AbortSignal.timeout(60_000);
const full = new ApplianceError("POOL_FULL", "pool: no space left");
let directory: string;
let images: MemoryImageStore;
let disk: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-increment-"));
  disk = join(directory, "disk");
  images = new MemoryImageStore();
  images.backing = async () => ({ type: "file", path: disk });
  await images.import({ image: "img-0", path: "golden", format: "raw" }, () => {});
});
afterEach(() => rmSync(directory, { recursive: true }));

const numbers = (...values: number[]) => {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [at, value] of values.entries()) bytes.writeBigUInt64LE(BigInt(value), 8 * at);
  return bytes;
};
/** Data, or zeros, from the beginning on. */
const data = (length: number) => [Buffer.from("w"), numbers(0, length), Buffer.alloc(length, 1)];
const zeros = (length: number) => [Buffer.from("z"), numbers(0, length)];

/** Applies these changes to the image that is there. */
function apply(
  changes: Buffer[],
  sizeBytes: number,
  checkFree: (bytes: number) => Promise<void>,
  maxImageBytes = MIB * MIB,
) {
  const path = join(directory, "increment");
  const diff = Buffer.concat([Buffer.from("rbd diff v1\n"), ...changes, Buffer.from("e")]);
  const fileSha256 = createHash("sha256").update(diff).digest("hex");
  const since = { image: "img-0", name: "before", sha256: "" };
  const manifest = { schema: 1, format: "rbd-diff", compression: "none", sizeBytes, fileSha256, sha256: "", since };
  writeFileSync(path, diff);
  writeFileSync(`${path}.json`, JSON.stringify(manifest));
  return applyIncrement(
    { images, importDirectories: [directory], maxImageBytes, checkFree },
    { image: "img-1", base: "img-0", path },
    () => {},
    signal,
  );
}

it("is no longer than the configuration allows", async () => {
  const refused = apply(data(10), 10 * MIB, async () => {}, 10 * MIB - 1);
  await expect(refused).rejects.toMatchObject({
    code: "INVALID",
    details: { remedy: expect.stringContaining("pool.maxImageBytes") },
  });
  expect([...images.contents.keys()]).toEqual(["image/img-0"]);
});

it("is refused where there is no room for what it brings, before anything is made", async () => {
  const checkFree = async (bytes: number) => {
    if (bytes >= 3 * MIB) throw full;
  };
  await expect(apply(data(3 * MIB), 3 * MIB, checkFree)).rejects.toMatchObject({ code: "POOL_FULL" });
  expect([...images.contents.keys()]).toEqual(["image/img-0"]);
});

it("stops where the room runs out meanwhile, also by zeros", async () => {
  const sizeBytes = 100 * MIB;
  writeFileSync(disk, "");
  let looks = 0;
  const checkFree = async (bytes: number) => {
    expect(bytes).toBe(0);
    if (++looks === 4) throw full;
  };
  const changes = [Buffer.from("s"), numbers(sizeBytes), ...zeros(sizeBytes)];
  await expect(apply(changes, sizeBytes, checkFree)).rejects.toMatchObject({ code: "POOL_FULL" });
  expect(images.contents.has("image/img-1")).toBe(false);
});

it("says that the pool is full where a write finds it so", async () => {
  disk = "/dev/full";
  await expect(apply(data(MIB), MIB, async () => {})).rejects.toMatchObject({
    code: "POOL_FULL",
    details: { remedy: expect.stringContaining("ingot pool") },
  });
});
