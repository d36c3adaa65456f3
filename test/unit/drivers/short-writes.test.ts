/** A disk that takes fewer bytes than it is given, as one does that fills up. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { ApiClient } from "../../../src/cli/api-client.ts";
import { download } from "../../../src/cli/download.ts";
import type { Terminal } from "../../../src/cli/terminal.ts";
import { createImageExchange } from "../../../src/drivers/images/exchange/create-exchange.ts";
import type { ImageExchange } from "../../../src/drivers/images/image-exchange.ts";
import { MemoryImageStore } from "../../fakes/memory-image-store.ts";

const signal = AbortSignal.timeout(60_000);
const MOST_BYTES = 10_007;
const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");
const about = { name: "golden", project: "default" };
const content = randomBytes(1024 * 1024);
let directory: string;
let images: MemoryImageStore;
let exchange: ImageExchange;

beforeEach(() => {
  images = new MemoryImageStore();
  images.contents.set("image/img-1", "content");
  images.files.set("content", content);
  const limits = { maxImageBytes: 1024 ** 3, checkFree: async () => {} };
  const directories = { exportDirectories: [directory], importDirectories: [directory] };
  exchange = createImageExchange({ images, ...directories, ...limits });
});
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-short-"));
  const probe = await open(join(directory, "probe"), "w");
  const handles = Object.getPrototypeOf(probe);
  await probe.close();
  const { write } = handles;
  vi.spyOn(handles, "write").mockImplementation(function (this: unknown, ...given: unknown[]) {
    const [bytes, offset = 0, length = (bytes as Buffer).length, position = null] = given as [Buffer, number];
    return write.call(this, bytes, offset, Math.min(length, MOST_BYTES), position);
  });
});
afterAll(() => {
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true });
});

it.each(["none", "zst"] as const)("cuts no export, packed by %s", async (compression) => {
  const one = { id: "exp-1", image: "img-1", path: join(directory, compression), format: "raw", compression } as const;
  const manifest = await exchange.exportFile({ ...one, about }, () => {}, signal);
  const written = readFileSync(one.path);
  expect(sha256(compression === "zst" ? zstdDecompressSync(written) : written)).toBe(sha256(content));
  expect(manifest.sha256).toBe(sha256(content));
});

it("cuts no increment, nor what it is applied to", async () => {
  const before = Buffer.alloc(content.length, "before");
  const after = Buffer.from(content);
  after.fill(0, 65_536, 131_072);
  images.contents.set("image/img-0", "before").set("image/img-1", "after");
  images.files.set("before", before).set("after", after);
  const path = join(directory, "increment");
  await exchange.exportFile(
    {
      ...{ id: "exp-2", image: "img-1", path, format: "rbd-diff", compression: "none", about },
      since: { image: "img-0", name: "before" },
    },
    () => {},
    signal,
  );
  const disk = join(directory, "disk");
  writeFileSync(disk, before);
  images.backing = async () => ({ type: "file", path: disk });
  images.snapshot = async (_, image) => {
    images.contents.set(`image/${image}`, "made");
    images.files.set("made", readFileSync(disk));
    return { sizeBytes: content.length };
  };
  const made = await exchange.applyIncrement({ image: "img-2", base: "img-0", path }, () => {}, signal);
  expect(made.sha256).toBe(sha256(after));
});

it("cuts no download", async () => {
  const api = {
    head: async () => ({ etag: '"1"' }),
    fetch: async () => ({ status: 200, headers: { etag: '"1"' }, body: Readable.from([content]) }),
  } as unknown as ApiClient;
  const file = join(directory, "downloaded");
  const terminal = { isWatched: false } as Terminal;
  await download({ api, path: "/content", file, ranges: true, terminal, quiet: true });
  expect(sha256(readFileSync(file))).toBe(sha256(content));
});
