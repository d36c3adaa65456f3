import { ApplianceError } from "../../../errors.ts";
import type { ImageExchange } from "../image-exchange.ts";
import { whenFree } from "../rbd/discard.ts";
import { copyByRbd, runRbd } from "../rbd/rbd-command.ts";
import { isRefused } from "../rbd/rbd-fault.ts";
import { NEW, NO_CACHE } from "../rbd/rbd-names.ts";
import type { RbdAccess } from "../rbd/rbd-pool.ts";
import { kindOf } from "../rbd/rbd-store.ts";

/** Says whose a published volume is, until its publication is over and for good. */
const PUBLISHED_BY = "ingot.publication";
const SPEC = /^([\w.:][\w.:-]{0,99})\/([\w.:][\w.:-]{0,99})(?:@([\w.:][\w.:-]{0,99}))?$/;

/** The verbs that only a pool in Ceph has. */
export type RbdExchange = Pick<ImageExchange, "adoptRbd" | "endAdoption" | "publishRbd" | "unpublishRbd">;

/** ImageExchange's verbs of Ceph, by the `rbd` command: they are few, and reach into pools of others. */
export function createRbdExchange(access: RbdAccess): RbdExchange {
  const own = (image: string) => `${access.pool}/${image}`;
  const rbd = (action: string, image: string, args: string[], signal: AbortSignal) =>
    runRbd(args, { access, action, image, signal }).catch((error) => {
      throw error.details?.field === "pool.rbd.pool" ? withoutPool(image, error) : error;
    });
  const unless = async (refusal: "none" | "exists", done: Promise<unknown>): Promise<void> => {
    try {
      await done;
    } catch (error) {
      if (!isRefused(error, refusal)) throw error;
    }
  };
  const infoOf = async (spec: string, signal: AbortSignal): Promise<{ size: number } | undefined> => {
    try {
      return JSON.parse(await rbd("look at image", spec, ["info", spec, "--format", "json"], signal));
    } catch (error) {
      if (isRefused(error, "none")) return undefined;
      throw error;
    }
  };
  const metadataOf = async (spec: string, signal: AbortSignal): Promise<Record<string, string>> => {
    try {
      const said = await rbd("read metadata", spec, ["image-meta", "list", spec, "--format", "json"], signal);
      // it prints nothing where there is none
      return said.trim() === "" ? {} : JSON.parse(said);
    } catch (error) {
      if (isRefused(error, "none")) return {};
      throw error;
    }
  };
  /** A client that was killed in the middle has it open until the cluster forgets it. */
  const remove = (spec: string, signal: AbortSignal) =>
    unless(
      "none",
      whenFree(signal, () => rbd("remove", spec, ["rm", "--no-progress", spec], signal)),
    );

  const endAdoption: ImageExchange["endAdoption"] = async ({ image, source }, signal) => {
    const { pool, name, snapshot } = parseSpec(source, "source");
    if (snapshot !== undefined) return;
    const taken = `${pool}/${name}@${markOf(image)}`;
    await unless("none", rbd("remove snapshot", source, ["snap", "rm", "--no-progress", taken], signal));
  };

  return {
    async adoptRbd({ image, source }, signal) {
      const { pool, name, snapshot } = parseSpec(source, "source");
      refuseOwn(pool === access.pool && kindOf(name) !== undefined, source, "source", "ingot image copy does that");
      if (!(await infoOf(own(image), signal))) {
        if (!(await infoOf(`${pool}/${name}`, signal))) throw notThere(source);
        const taken = `${pool}/${name}@${snapshot ?? markOf(image)}`;
        if (snapshot === undefined) {
          await unless("exists", rbd("snapshot", source, ["snap", "create", "--no-progress", taken], signal));
        }
        const unfinished = own(NEW + image);
        await remove(unfinished, signal);
        const clone = ["clone", "--rbd-default-clone-format", "2", taken, unfinished];
        await rbd("clone", source, clone, signal).catch((error) => {
          throw isRefused(error, "none") ? notThere(source) : error;
        });
        for (const key of Object.keys(await metadataOf(unfinished, signal))) {
          // a machine's limits are its volume's, and no image's
          if (!key.startsWith("conf_rbd_qos_")) continue;
          await rbd("describe image", image, ["image-meta", "remove", unfinished, key], signal);
        }
        await rbd("describe image", image, ["image-meta", "set", unfinished, ...NO_CACHE], signal);
        await rbd("rename", image, ["rename", unfinished, own(image)], signal);
      }
      await endAdoption({ image, source }, signal);
      return { sizeBytes: (await infoOf(own(image), signal))?.size ?? 0 };
    },
    endAdoption,
    async publishRbd({ id, image, target }, progress, signal) {
      const { pool, name, snapshot } = parseSpec(target, "target");
      if (snapshot !== undefined) throw badSpec(target, "target");
      refuseOwn(pool === access.pool, target, "target", "name another pool: this one is the appliance's own");
      const published = `${pool}/${name}`;
      if ((await metadataOf(published, signal))[PUBLISHED_BY] === id) return;
      if (await infoOf(published, signal)) throw taken(target);
      const unfinished = `${pool}/${NEW}${id}`;
      await remove(unfinished, signal);
      const { size = 0 } = (await infoOf(own(image), signal)) ?? {};
      const onPercent = (percent: number) => progress(Math.floor((percent / 100) * size), size);
      await copyByRbd(["cp", own(image), unfinished], onPercent, { access, action: "copy", image, signal });
      for (const key of Object.keys(await metadataOf(unfinished, signal))) {
        if (!key.startsWith("ingot.") && key !== NO_CACHE[0]) continue;
        await rbd("describe image", target, ["image-meta", "remove", unfinished, key], signal);
      }
      await rbd("describe image", target, ["image-meta", "set", unfinished, PUBLISHED_BY, id], signal);
      await rbd("rename", target, ["rename", unfinished, published], signal).catch((error) => {
        throw isRefused(error, "exists") ? taken(target) : error;
      });
    },
    async unpublishRbd({ id, target }, signal) {
      const { pool, name } = parseSpec(target, "target");
      if ((await metadataOf(`${pool}/${name}`, signal))[PUBLISHED_BY] === id) await remove(`${pool}/${name}`, signal);
      await remove(`${pool}/${NEW}${id}`, signal);
    },
  };
}

/** The same for a pool of files: it has no Ceph. */
export function withoutRbd(): RbdExchange {
  const refuse = async () => {
    throw new ApplianceError(
      "UNSUPPORTED",
      "images live in files here: only a pool in Ceph takes or gives RBD images",
      {
        details: { driver: "file", remedy: "import or export a file, or set pool.store: rbd" },
      },
    );
  };
  const nothing = async () => {};
  return { adoptRbd: refuse, endAdoption: nothing, publishRbd: refuse, unpublishRbd: nothing };
}

/** The snapshot that an adoption takes. */
function markOf(image: string): string {
  return `ingot-${image}`;
}

function parseSpec(spec: string, field: string): { pool: string; name: string; snapshot: string | undefined } {
  const [, pool, name, snapshot] = SPEC.exec(spec) ?? [];
  if (pool === undefined || name === undefined) throw badSpec(spec, field);
  return { pool, name, snapshot };
}

function badSpec(spec: string, field: string): ApplianceError {
  const form = field === "source" ? "POOL/IMAGE or POOL/IMAGE@SNAPSHOT" : "POOL/IMAGE";
  return new ApplianceError("INVALID", `${field}: this does not name an RBD image`, {
    details: { field, value: spec.slice(0, 200), remedy: `write ${form}; namespaces are not supported` },
  });
}

function refuseOwn(isOwn: boolean, spec: string, field: string, remedy: string): void {
  if (isOwn)
    throw new ApplianceError("INVALID", `${field}: ${spec} is the appliance's own`, {
      details: { field, value: spec, remedy },
    });
}

function withoutPool(spec: string, cause: unknown): ApplianceError {
  return new ApplianceError("NOT_FOUND", `Ceph has no such pool: ${spec}`, {
    details: { field: "rbd", value: spec, remedy: "ceph osd pool ls shows those that there are" },
    cause,
  });
}

function notThere(source: string): ApplianceError {
  return new ApplianceError("NOT_FOUND", `source: Ceph has no ${source}`, {
    details: { field: "source", value: source, remedy: "rbd ls POOL, rbd snap ls POOL/IMAGE show what there is" },
  });
}

function taken(target: string): ApplianceError {
  return new ApplianceError("EXISTS", `target: Ceph has ${target} already`, {
    details: { field: "target", value: target, remedy: "choose another name" },
  });
}
