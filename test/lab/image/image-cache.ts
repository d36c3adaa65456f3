import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join, relative, resolve } from "node:path";

/** Downloads and built images of the lab; safe to delete. */
export const LAB_CACHE = resolve(import.meta.dirname, "../../../.cache/lab");

/**
 * The path of the image that these ingredients and the files of this folder make: the one built before, or the
 * `image.raw` that `build` leaves in the empty folder that it is given. Two that build the same at a time are fine.
 */
export async function cachedImage(
  cacheDirectory: string,
  name: string,
  ingredients: string[],
  build: (work: string) => Promise<void>,
): Promise<string> {
  const image = join(cacheDirectory, `${name}-${await hashOf(ingredients)}.raw`);
  if (existsSync(image)) return image;
  await mkdir(cacheDirectory, { recursive: true });
  await removeAbandoned(cacheDirectory);
  const work = await mkdtemp(join(cacheDirectory, "building-"));
  try {
    await build(work);
    await rename(join(work, "image.raw"), image);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}

/** Longer than any image takes to build. */
const ABANDONED_MS = 3600_000;

/** Removes what builders left that were killed. */
async function removeAbandoned(cacheDirectory: string): Promise<void> {
  for (const entry of await readdir(cacheDirectory)) {
    if (!entry.startsWith("building-")) continue;
    const work = join(cacheDirectory, entry);
    // by its age: a builder's pid may be one of another namespace
    const begun = await stat(work).catch(() => undefined);
    if (begun && Date.now() - begun.mtimeMs > ABANDONED_MS) await rm(work, { recursive: true, force: true });
  }
}

async function hashOf(ingredients: string[]): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(ingredients));
  const entries = await readdir(import.meta.dirname, { withFileTypes: true, recursive: true });
  const files = entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  for (const file of files.sort()) {
    hash.update(relative(import.meta.dirname, file)).update(await readFile(file));
  }
  return hash.digest("hex").slice(0, 16);
}
