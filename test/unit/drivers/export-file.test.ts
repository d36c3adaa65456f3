/** What an export leaves when it is killed, cancelled, or its disk takes less than it is given. */
import { randomBytes } from "node:crypto";
import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createImageExchange } from "../../../src/drivers/images/exchange/create-exchange.ts";
import type { FileExport, ImageExchange } from "../../../src/drivers/images/image-exchange.ts";
import { MemoryImageStore } from "../../fakes/memory-image-store.ts";

const signal = AbortSignal.timeout(60_000);
let exports: string;
let images: MemoryImageStore;
let exchange: ImageExchange;

beforeEach(async () => {
  exports = mkdtempSync(join(tmpdir(), "ingot-export-"));
  images = new MemoryImageStore();
  await images.import({ image: "img-1", path: "golden", format: "raw" }, () => {});
  const limits = { maxImageBytes: 1024 ** 3, checkFree: async () => {} };
  exchange = createImageExchange({ images, exportDirectories: [exports], importDirectories: [], ...limits });
});
afterEach(() => rmSync(exports, { recursive: true }));

const request = (change: Partial<FileExport> = {}): FileExport => ({
  ...{ id: "exp-1", image: "img-1", path: join(exports, "golden"), format: "raw", compression: "none" },
  ...{ about: { name: "golden", project: "default" } },
  ...change,
});
const exportIt = (one: FileExport, until = signal) => exchange.exportFile(one, () => {}, until);
const unfinished = (name = "unfinished") => join(exports, `.golden.exp-1.${name}`);
const whole = ["golden", "golden.json"];

describe.each([
  ["raw", "none"],
  ["raw", "zst"],
  ["qcow2", "none"],
  ["qcow2", "zst"],
] as const)("an export as %s, packed by %s", (format, compression) => {
  const one = () => request({ format, compression });

  /** As a kill leaves it once the file has its name. */
  const killed = async ({ isDescribed }: { isDescribed: boolean }) => {
    await exportIt(one());
    linkSync(join(exports, "golden"), unfinished());
    if (!isDescribed) rmSync(join(exports, "golden.json"));
  };

  it("that was killed before its manifest was there is made again", async () => {
    await killed({ isDescribed: false });
    const manifest = await exportIt(one());
    expect(readdirSync(exports).sort()).toEqual(whole);
    expect(readFileSync(join(exports, "golden")).length).toBe(manifest.fileBytes);
  });

  it("that was killed before its manifest was there shows nothing half made, and is undone", async () => {
    await killed({ isDescribed: false });
    const cut = new AbortController();
    await expect(exchange.exportFile(one(), () => cut.abort(), cut.signal)).rejects.toMatchObject({
      code: "CANCELLED",
    });
    expect(readdirSync(exports)).not.toContain("golden");
    await exchange.removeExport(one(), signal);
    expect(readdirSync(exports)).toEqual([]);
  });

  it.each([true, false])("that was killed at its end is undone (described: %s)", async (isDescribed) => {
    await killed({ isDescribed });
    await exchange.removeExport(one(), signal);
    expect(readdirSync(exports)).toEqual([]);
  });

  it("tells how far it is, all the way", async () => {
    const sizeBytes = 16 * 1024 * 1024;
    await images.create("disk-1", sizeBytes);
    await images.snapshot("disk-1", "img-large");
    images.files.set(images.contents.get("image/img-large")!, randomBytes(sizeBytes));
    const steps: [done: number, total: number][] = [];
    await exchange.exportFile({ ...one(), image: "img-large" }, (...step) => steps.push(step), signal);
    const passes = format === "raw" ? 2 : compression === "zst" ? 4 : 3;
    expect(new Set(steps.map(([, total]) => total))).toEqual(new Set([passes * sizeBytes]));
    const done = steps.map(([bytes]) => bytes);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBe(passes * sizeBytes);
    for (let pass = 0; pass < passes; pass++) {
      const within = done.filter((bytes) => bytes > pass * sizeBytes && bytes < (pass + 1) * sizeBytes);
      expect(within.length, `pass ${pass}`).toBeGreaterThan(0);
    }
  });

  it("that was killed once its manifest was there is tidied up", async () => {
    await killed({ isDescribed: true });
    linkSync(unfinished(), unfinished("scratch"));
    linkSync(unfinished(), unfinished("json"));
    await exportIt(one());
    expect(readdirSync(exports).sort()).toEqual(whole);
  });
});

it("undoes an export that is still at work once that has ended", async () => {
  const begun = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const read = images.read.bind(images);
  images.read = async (one) => {
    begun.resolve();
    await goOn.promise;
    return read(one);
  };
  const cut = new AbortController();
  const exported = exportIt(request(), cut.signal).catch((error) => error);
  await begun.promise;
  cut.abort();
  const undone = exchange.removeExport(request(), signal);
  // that of another export does not wait, and so this one's has had its chance
  await exchange.removeExport(request({ id: "exp-2" }), signal);
  goOn.resolve();
  expect(await exported).toMatchObject({ code: "CANCELLED" });
  await undone;
  expect(readdirSync(exports)).toEqual([]);
});

it("undoes an export into a directory that is not there", async () => {
  const nowhere = request({ path: join(exports, "nowhere", "golden") });
  await expect(exportIt(nowhere)).rejects.toMatchObject({ code: "NOT_FOUND" });
  await exchange.removeExport(nowhere, signal);
});
