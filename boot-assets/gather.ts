/**
 * Copies iPXE's loaders out of Debian's package `ipxe` into a directory that the appliance serves.
 * Every file is checked against manifest.json; one that is there already and right is left alone.
 * usage: node boot-assets/gather.ts [directory]     (default: boot-assets/files)
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import manifest from "./manifest.json" with { type: "json" };

/** Where the files go unless another directory is named; git ignores it. */
export const ASSETS_DIRECTORY = resolve(import.meta.dirname, "files");

/**
 * Fills `directory` from `source` and answers the names that were written. May be called again.
 * Throws, before anything is written, when the package is missing or a file of it is not as the manifest says.
 */
export function gatherBootAssets(directory = ASSETS_DIRECTORY, source = manifest.directory): string[] {
  const found = manifest.files.map(({ name, sha256 }) => {
    const bytes = readIfThere(join(source, name));
    if (!bytes) {
      throw new Error(`${join(source, name)} is missing: apt-get install ${manifest.package}`);
    }
    if (!sha256.includes(digest(bytes))) {
      throw new Error(
        `${join(source, name)} is not the one of ${manifest.package} ${manifest.version} (${manifest.release}): ` +
          `its SHA-256 is ${digest(bytes)}. Reinstall the package; if it is a new version that you trust, ` +
          "add this number to boot-assets/manifest.json",
      );
    }
    return { name, bytes };
  });
  mkdirSync(directory, { recursive: true });
  const stale = found.filter(({ name, bytes }) => !readIfThere(join(directory, name))?.equals(bytes));
  for (const { name, bytes } of stale) {
    writeFileSync(join(directory, `${name}.new`), bytes, { mode: 0o644 });
    // a machine that boots meanwhile gets the old file or the new one, never half of one
    renameSync(join(directory, `${name}.new`), join(directory, name));
  }
  return stale.map(({ name }) => name);
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

if (import.meta.main) {
  const directory = resolve(process.argv[2] ?? ASSETS_DIRECTORY);
  try {
    const written = gatherBootAssets(directory);
    console.log(written.length > 0 ? `${directory}: ${written.join(", ")}` : `${directory}: nothing to do`);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
