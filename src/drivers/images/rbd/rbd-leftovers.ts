import { ApplianceError } from "../../../errors.ts";
import { readDescription } from "../description.ts";
import { discard, unlessRefused } from "./discard.ts";
import { checkOneName } from "./one-name.ts";
import { isHalfMade, META, NEW, NO_CACHE, OLD } from "./rbd-names.ts";
import type { RbdPool } from "./rbd-pool.ts";
import { kindOf } from "./rbd-store.ts";

/** Takes away, or finishes, what interrupted work left in a Ceph pool under this name. */
export async function clearLeftover(pool: RbdPool, name: string, signal: AbortSignal): Promise<void> {
  const [image = "", mark] = name.split("@");
  if (mark !== undefined && kindOf(mark) === "image" && kindOf(image)) {
    return unlessRefused("none", pool.removeSnapshot(image, mark, signal));
  }
  const prefix = [NEW, OLD].find((one) => name.startsWith(one) && kindOf(name.slice(one.length)));
  if (prefix === undefined && mark === undefined && kindOf(image)) {
    const found = await pool.inspect(name, [META.record, NO_CACHE[0]], signal);
    if (!found || isHalfMade(found, readDescription(found.metadata[META.record], name))) {
      return discard(pool, name, signal);
    }
  }
  if (prefix === undefined) {
    throw new ApplianceError("INVALID", `leftover: ${name} is none`, { details: { field: "leftover", value: name } });
  }
  const id = name.slice(prefix.length);
  const has = async (one: string) => (await pool.size(one, signal)) !== undefined;
  if ((await has(OLD + id)) && !(await has(id))) {
    // a replacement that ended between its two renames: the new content, or else the former one, is the disk
    await pool.rename((await has(NEW + id)) ? NEW + id : OLD + id, id, signal);
  }
  await checkOneName(pool, id, name, signal);
  await discard(pool, name, signal);
}
