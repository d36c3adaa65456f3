import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { gatherBootAssets } from "../../../boot-assets/gather.ts";
import manifest from "../../../boot-assets/manifest.json" with { type: "json" };

const real = structuredClone(manifest.files);
let directory: string;
let source: string;
let target: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-assets-"));
  source = join(directory, "package");
  target = join(directory, "files");
  mkdirSync(source);
  for (const file of manifest.files) {
    writeFileSync(join(source, file.name), `bytes of ${file.name}`);
    file.sha256 = [createHash("sha256").update(`bytes of ${file.name}`).digest("hex")];
  }
});
afterEach(() => {
  manifest.files.forEach((file, index) => {
    file.sha256 = real[index]!.sha256;
  });
  rmSync(directory, { recursive: true });
});

describe("gatherBootAssets", () => {
  const names = manifest.files.map((file) => file.name);

  it("copies every file of the manifest, and the second time none", () => {
    expect(gatherBootAssets(target, source)).toEqual(names);
    expect(gatherBootAssets(target, source)).toEqual([]);
    expect(readdirSync(target).sort()).toEqual([...names].sort());
    expect(statSync(join(target, names[0]!)).mode & 0o777).toBe(0o644);
  });

  it("mends a file that was damaged", () => {
    gatherBootAssets(target, source);
    writeFileSync(join(target, names[1]!), "rubbish");
    expect(gatherBootAssets(target, source)).toEqual([names[1]]);
    expect(readFileSync(join(target, names[1]!), "utf8")).toBe(`bytes of ${names[1]}`);
  });

  it("writes nothing at all when one file of the package differs or is missing", () => {
    writeFileSync(join(source, names.at(-1)!), "forged");
    expect(() => gatherBootAssets(target, source)).toThrow(new RegExp(`${names.at(-1)} is not the one of ipxe`));
    rmSync(join(source, names.at(-1)!));
    expect(() => gatherBootAssets(target, source)).toThrow(/is missing: apt-get install ipxe/);
    expect(() => readdirSync(target)).toThrow(/ENOENT/);
  });

  it("knows SHA-256 sums alone", () => {
    for (const file of real) for (const sum of file.sha256) expect(sum).toMatch(/^[0-9a-f]{64}$/);
  });
});
