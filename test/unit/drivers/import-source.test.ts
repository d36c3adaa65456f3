import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { importImage } from "../../../src/drivers/images/import-image.ts";

const root = mkdtempSync(join(tmpdir(), "ingot-import-"));
const imports = join(root, "imports");
mkdirSync(imports);
writeFileSync(join(root, "outside.raw"), "x");
symlinkSync(join(root, "outside.raw"), join(imports, "link.raw"));
afterAll(() => rmSync(root, { recursive: true }));

it.each([
  ["FORBIDDEN", join(root, "outside.raw")],
  ["FORBIDDEN", join(imports, "..", "outside.raw")],
  ["FORBIDDEN", join(imports, "link.raw")],
  ["NOT_FOUND", join(imports, "absent.raw")],
])("refuses with %s, the path and a remedy: %s", async (code, path) => {
  const refused = importImage({
    temporary: join(root, "temporary"),
    maxBytes: 1024,
    publish: async () => {},
    importDirectories: [imports],
    request: { image: "img-1", path, format: "raw" },
    progress: () => {},
    signal: new AbortController().signal,
    checkFree: async () => {},
  });
  await expect(refused).rejects.toMatchObject({
    code,
    message: expect.stringContaining(path),
    details: { field: "path", value: path, remedy: expect.stringMatching(/./) },
  });
});

it.each([
  ["grows", (path: string) => appendFileSync(path, "more")],
  ["is written over", (path: string) => writeFileSync(path, Buffer.alloc(3 * 1024 * 1024, 2))],
])("takes no file that %s while it is read", async (_, change) => {
  const path = join(imports, "growing.raw");
  writeFileSync(path, Buffer.alloc(3 * 1024 * 1024, 1));
  let isPublished = false;
  const imported = importImage({
    temporary: join(root, "temporary"),
    maxBytes: 1024 ** 3,
    publish: async () => {
      isPublished = true;
    },
    importDirectories: [imports],
    request: { image: "img-1", path, format: "raw" },
    progress: (done, total) => done === total && change(path),
    signal: new AbortController().signal,
    checkFree: async () => {},
  });
  await expect(imported).rejects.toMatchObject({
    code: "INVALID",
    message: expect.stringContaining("still being written"),
  });
  expect(isPublished).toBe(false);
});
