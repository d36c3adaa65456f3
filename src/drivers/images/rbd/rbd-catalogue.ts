import pLimit from "p-limit";
import { checkOwner, notInPool, readDescription } from "../description.ts";
import type { Leftover, PoolCatalogue, SurveyedThing } from "../pool-catalogue.ts";
import { isRefused } from "./rbd-fault.ts";
import { clearLeftover } from "./rbd-leftovers.ts";
import { CONTENT, META, NEW, OLD } from "./rbd-names.ts";
import type { RbdPool } from "./rbd-pool.ts";
import { kindOf } from "./rbd-store.ts";

/** Images that are looked at a time. */
const AT_A_TIME = 8;

/** Descriptions in a Ceph pool: metadata of each RBD image, which goes with it. */
export function createRbdCatalogue(pool: RbdPool): PoolCatalogue {
  return {
    async describe(description, takenFrom, signal) {
      const { id, appliance } = description;
      const found = await pool.inspect(id, META.record, signal);
      if (!found) throw notInPool(description);
      checkOwner(description, readDescription(found.metadata, id)?.appliance, appliance, takenFrom);
      await pool.setMetadata(id, META.record, JSON.stringify(description), signal);
    },
    clear: (leftover, signal) => clearLeftover(pool, leftover, signal),
    owner: (_, id, signal) => ownerOf(pool, id, signal),
    async survey(signal) {
      const limit = pLimit(AT_A_TIME);
      const names = await pool.list(signal);
      const found = await Promise.all(
        names.filter((name) => kindOf(name)).map((name) => limit(() => look(pool, name, signal))),
      );
      const leftovers = names.flatMap(leftoverOf);
      for (const { name } of await pool.listTrash(signal)) {
        const id = name.replace(/^(?:new|old)\./, "");
        if (kindOf(id)) leftovers.push({ what: "deleted", id, name });
      }
      return {
        things: found.flatMap((one) => (one ? [one.thing] : [])),
        leftovers: [...leftovers, ...found.flatMap((one) => one?.marks ?? [])],
      };
    },
  };
}

/** Id of the appliance that an RBD image is described as; undefined where it is not, or not there. */
export async function ownerOf(pool: RbdPool, id: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return readDescription(await pool.metadata(id, META.record, signal), id)?.appliance;
  } catch (error) {
    if (isRefused(error, "none")) return undefined;
    throw error;
  }
}

/** One image or disk with the marks of snapshots on it; undefined where it went meanwhile. */
async function look(
  pool: RbdPool,
  id: string,
  signal: AbortSignal,
): Promise<{ thing: SurveyedThing; marks: Leftover[] } | undefined> {
  const found = await pool.inspect(id, META.record, signal);
  const kind = kindOf(id);
  if (!found || !kind) return undefined;
  const description = readDescription(found.metadata, id);
  const marks = found.snapshots.filter((snapshot) => snapshot !== CONTENT && kindOf(snapshot) === "image");
  return {
    thing: { kind, id, sizeBytes: found.sizeBytes, ...(description ? { description } : {}) },
    marks: marks.map((snapshot) => ({ what: "mark", id: snapshot, name: `${id}@${snapshot}` })),
  };
}

function leftoverOf(name: string): Leftover[] {
  for (const [prefix, what] of [
    [NEW, "unfinished"],
    [OLD, "replaced"],
  ] as const) {
    const id = name.slice(prefix.length);
    if (name.startsWith(prefix) && kindOf(id)) return [{ what, id, name }];
  }
  return [];
}
