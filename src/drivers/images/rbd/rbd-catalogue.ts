import pLimit from "p-limit";
import { checkOwner, notInPool, readDescription } from "../description.ts";
import type { Leftover, PoolCatalogue, SurveyedThing } from "../pool-catalogue.ts";
import { isRefused } from "./rbd-fault.ts";
import { clearLeftover } from "./rbd-leftovers.ts";
import { CONTENT, isHalfMade, META, NEW, NO_CACHE, OLD } from "./rbd-names.ts";
import type { RbdPool } from "./rbd-pool.ts";
import { kindOf } from "./rbd-store.ts";

/** Images that are looked at a time. */
const AT_A_TIME = 8;

/** Descriptions in a Ceph pool: metadata of each RBD image, which goes with it. */
export function createRbdCatalogue(pool: RbdPool): PoolCatalogue {
  return {
    async describe(description, takenFrom, signal) {
      const { id, appliance } = description;
      const found = await pool.inspect(id, [META.record, NO_CACHE[0]], signal);
      const described = readDescription(found?.metadata[META.record], id);
      // a clone in the making would get its parent's description over this one
      if (!found || isHalfMade(found, described)) throw notInPool(description);
      checkOwner(description, described?.appliance, appliance, takenFrom);
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
        things: found.flatMap((one) => one?.things ?? []),
        leftovers: [...leftovers, ...found.flatMap((one) => one?.leftovers ?? [])],
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

/** One image or disk, and the marks of snapshots on it; undefined where it went meanwhile. */
async function look(
  pool: RbdPool,
  id: string,
  signal: AbortSignal,
): Promise<{ things: SurveyedThing[]; leftovers: Leftover[] } | undefined> {
  const found = await pool.inspect(id, [META.record, NO_CACHE[0]], signal);
  const kind = kindOf(id);
  if (!found || !kind) return undefined;
  const description = readDescription(found.metadata[META.record], id);
  if (isHalfMade(found, description)) return { things: [], leftovers: [{ what: "half-made", id, name: id }] };
  const marks = found.snapshots.filter((snapshot) => snapshot !== CONTENT && kindOf(snapshot) === "image");
  return {
    things: [{ kind, id, sizeBytes: found.sizeBytes, ...(description ? { description } : {}) }],
    leftovers: marks.map((snapshot) => ({ what: "mark", id: snapshot, name: `${id}@${snapshot}` })),
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
