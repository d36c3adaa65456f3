import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join, relative, resolve } from "node:path";

/** Downloads and built images of the lab; safe to delete. */
export const LAB_CACHE = resolve(import.meta.dirname, "../../../.cache/lab");

/**
 * The path of the image that these ingredients and the files of this folder make: the one built before, or the
 * `image.raw` that `build` leaves in the empty folder that it is given. Two that build the same at a time are fine. When one
 * is built, those of the same name that nobody asked for of late go.
 */
export async function cachedImage(
  cacheDirectory: string,
  name: string,
  ingredients: string[],
  build: (work: string) => Promise<void>,
): Promise<string> {
  const image = join(cacheDirectory, `${name}-${await hashOf(ingredients)}.raw`);
  if (await touch(image)) return image;
  await mkdir(cacheDirectory, { recursive: true });
  await removeAbandoned(cacheDirectory);
  await removeUnused(cacheDirectory, name);
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

/** An image whose ingredients are others by now is of use as long as somebody works with them. */
const UNUSED_MS = 24 * 3600_000;

/** Notes that an image is used; false where it is not there. */
async function touch(image: string): Promise<boolean> {
  try {
    await utimes(image, new Date(), new Date());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

async function removeUnused(cacheDirectory: string, name: string): Promise<void> {
  for (const entry of await readdir(cacheDirectory)) {
    const [, named] = /^(.+)-[0-9a-f]{16}\.raw$/.exec(entry) ?? [];
    if (named === name) await removeOlder(join(cacheDirectory, entry), UNUSED_MS);
  }
}

/** Removes what builders left that were killed. */
async function removeAbandoned(cacheDirectory: string): Promise<void> {
  for (const entry of await readdir(cacheDirectory)) {
    if (!entry.startsWith("building-")) continue;
    // by its age: a builder's pid may be one of another namespace
    await removeOlder(join(cacheDirectory, entry), ABANDONED_MS);
  }
}

async function removeOlder(path: string, ageMs: number): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found && Date.now() - found.mtimeMs > ageMs) await rm(path, { recursive: true, force: true });
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
