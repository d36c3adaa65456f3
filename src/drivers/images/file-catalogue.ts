import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { isApplianceError } from "../../errors.ts";
import { syncPath } from "../../net/sync-path.ts";
import { driverFailed } from "../failure.ts";
import { Turns } from "../turns.ts";
import { Ballast } from "./ballast.ts";
import { checkOwner, notInPool, readDescription } from "./description.ts";
import type { StoredKind } from "./image-store.ts";
import type { PoolCatalogue, SurveyedThing } from "./pool-catalogue.ts";
import { PoolFiles } from "./pool-files.ts";

/**
 * Descriptions in a pool directory: `records/<id>.json`, one beside each image and disk. What interrupted work leaves
 * there is taken away at the start of whoever opens the store.
 */
export function createFileCatalogue(directory: string): PoolCatalogue {
  const files = new PoolFiles(directory);
  const ballast = new Ballast(directory);
  const turns = new Turns();

  const read = async (id: string) => readDescription(await unlessAbsent(readFile(files.description(id), "utf8")), id);
  const sizeOf = async (kind: StoredKind, id: string) => (await unlessAbsent(stat(files.path(kind, id))))?.size;

  const write = async (id: string, text: string) => {
    const [temporary, path] = [files.temporary(), files.description(id)];
    try {
      await writeFile(temporary, text, { flag: "wx", mode: 0o600, flush: true });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await syncPath(dirname(path));
  };

  return {
    describe: (description, takenFrom, signal) =>
      turns.take(
        description.id,
        () =>
          failing("describe", async () => {
            const { kind, id, appliance } = description;
            if ((await sizeOf(kind, id)) === undefined) throw notInPool(description);
            checkOwner(description, (await read(id))?.appliance, appliance, takenFrom);
            await ballast.lend(() => write(id, `${JSON.stringify(description, null, 2)}\n`));
            // removed meanwhile, and its description before this one
            if ((await sizeOf(kind, id)) !== undefined) return;
            await rm(files.description(id), { force: true });
            throw notInPool(description);
          }),
        signal,
      ),
    owner: (kind, id) =>
      failing("look for owner", async () => {
        files.path(kind, id);
        return (await read(id))?.appliance;
      }),
    clear: async () => {},
    survey: () =>
      failing("survey", async () => {
        const things: SurveyedThing[] = [];
        for (const { kind, id } of [...(await files.list("image")), ...(await files.list("disk"))]) {
          const sizeBytes = await sizeOf(kind, id);
          const description = await read(id);
          if (sizeBytes !== undefined) things.push({ kind, id, sizeBytes, ...(description ? { description } : {}) });
        }
        return { things, leftovers: [] };
      }),
  };
}

async function failing<T>(action: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (isApplianceError(error)) throw error;
    throw driverFailed("file", action, (error as Error).message, { cause: error });
  }
}

async function unlessAbsent<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
