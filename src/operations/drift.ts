import type { BootEntry } from "../boot/boot-entry.ts";
import type { DiskRecord } from "../disks/disk.ts";
import { type Leftover, type SurveyedThing, thingsOfLeftover } from "../drivers/images/pool-catalogue.ts";
import type { TargetState } from "../drivers/targets/target-server.ts";
import { isApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import { parseTargetIqn } from "../values/iqn.ts";
import type { Appliance } from "./appliance.ts";
import { type Recorded, recorded } from "./describe-record.ts";
import { heldFromNow } from "./held-from-now.ts";
import { ofNodes } from "./node-drift.ts";
import { isLiving } from "./presence.ts";
import { type Repair, repairBy } from "./repairs.ts";

/**
 * How they can disagree. What is no repair's: content without a record (adopted), a boot entry whose target is not served
 * (mended by itself), a node that boots since before nodes were isolated (released), who could not be asked.
 */
export type DriftKind = Repair | "unrecorded" | "target-missing" | "unisolated" | "unanswered";

/**
 * One disagreement. `subject` is the thing's name, `message` what is wrong, `remedy` what to do; `owner`, of a node, whom the
 * isolator has it for.
 */
export type Drift = { kind: DriftKind; id: string; subject: string; message: string; remedy: string; owner?: string };

const SURVEY_SECONDS = 300;

/** Compares records with pool, targets, isolator and BMCs. Changes nothing; leaves out what operations are at, or were meanwhile. */
export async function findDrift(
  appliance: Appliance,
  signal: AbortSignal = AbortSignal.timeout(SURVEY_SECONDS * 1000),
): Promise<Drift[]> {
  const heldSince = heldFromNow(appliance.runner);
  // what is made or removed during the survey is not in both of these
  const before = new Map([...recorded(appliance)].map((one) => [one.record.id, one]));
  const { things, leftovers } = await appliance.catalogue.survey(signal);
  const after = [...recorded(appliance)].filter(({ record }) => before.has(record.id));
  const held = heldSince();
  const isAtRest = ({ id }: { id: string }) => !held.has(id);
  const resting = leftovers.filter(({ name }) => thingsOfLeftover(name).every((id) => isAtRest({ id })));
  const there = new Map(things.map((one) => [one.id, one]));
  return [
    ...after.filter(({ record }) => isAtRest(record)).flatMap((one) => ofRecord(appliance, one, there)),
    ...things.filter(isAtRest).flatMap((one) => ofContent(appliance, one)),
    ...(await ofLeftovers(appliance, resting, things, signal)),
    ...(await ofTargets(appliance, heldSince, signal)),
    ...(await ofNodes(appliance, signal)),
  ];
}

function ofRecord(appliance: Appliance, { kind, record }: Recorded, there: Map<string, SurveyedThing>): Drift[] {
  const { id, name, sizeBytes } = record;
  const about = { id, subject: `${kind} ${name}` };
  const found = there.get(id);
  if (!found) {
    const message = "its content is not in the pool";
    return [{ ...about, kind: "content-missing", message, remedy: repairBy("content-missing", "drops the record") }];
  }
  const owner = found.description?.appliance;
  if (owner !== undefined && owner !== appliance.id) {
    const message = `appliance ${owner} has adopted it`;
    return [{ ...about, kind: "taken", message, remedy: repairBy("taken", "drops the record here") }];
  }
  const drifts: Drift[] = [];
  if (found.sizeBytes !== sizeBytes) {
    const message = `has ${found.sizeBytes} bytes in the pool, ${sizeBytes} on record`;
    drifts.push({ ...about, kind: "size-differs", message, remedy: repairBy("size-differs", "corrects the record") });
  }
  if (kind === "disk" && !isBooted(appliance, record)) {
    const message = "is attached to a node that does not boot it";
    drifts.push({ ...about, kind: "attachment", message, remedy: repairBy("attachment", "detaches it") });
  }
  return drifts;
}

/** Whether a disk's attachment, if it has one, is what a boot entry says. Data disks wait for their node's next boot. */
export function isBooted({ records, nodes }: Pick<Appliance, "records" | "nodes">, disk: DiskRecord): boolean {
  if (disk.node === undefined) return true;
  if (disk.dataLun) return nodes.list().some(({ id }) => id === disk.node);
  return records.collection<BootEntry>("bootEntries").get(disk.node)?.disk === disk.id;
}

function ofContent(appliance: Appliance, { kind, id, description }: SurveyedThing): Drift[] {
  const record: ImageRecord | DiskRecord | undefined = appliance.images.find(id) ?? appliance.disks.find(id);
  if (record) return [];
  const owner = description?.appliance;
  // another appliance's, or one of its own that it has not described yet
  if (owner === undefined ? appliance.config.pool.store === "rbd" : owner !== appliance.id) return [];
  const remedy =
    owner === undefined ? `ingot adopt --undescribed ${id}; then ingot ${kind} rm, if nobody needs it` : "ingot adopt";
  return [{ kind: "unrecorded", id, subject: `${kind} ${id}`, message: "is in the pool without a record", remedy }];
}

async function ofLeftovers(
  appliance: Appliance,
  leftovers: Leftover[],
  things: SurveyedThing[],
  signal: AbortSignal,
): Promise<Drift[]> {
  const isKnown = (id: string) => (appliance.images.find(id) ?? appliance.disks.find(id)) !== undefined;
  const owners = new Set(things.flatMap(({ description }) => description?.appliance ?? []));
  let areShared = false;
  for (const owner of owners) areShared ||= owner !== appliance.id && (await isLiving(appliance, owner, signal));
  return leftovers.flatMap(({ what, id, name }) => {
    // what is deleted and has children waits for them; what may be a living appliance's is its own work
    const isOurs = isKnown(what === "mark" ? (name.split("@")[0] as string) : id);
    if (what === "deleted" || (areShared && !isOurs)) return [];
    const remedy = repairBy("leftover", "takes it away, or finishes it");
    return [{ kind: "leftover", id: name, subject: name, message: MESSAGES[what], remedy }];
  });
}

const MESSAGES: Record<Exclude<Leftover["what"], "deleted">, string> = {
  unfinished: "was begun and not finished",
  "half-made": "is half made; or by hand, and is adopted once `rbd image-meta set … conf_rbd_cache false` says so",
  replaced: "is what a disk held before it was reverted",
  mark: "is the mark of a snapshot that was not finished",
};

async function ofTargets(
  appliance: Appliance,
  heldSince: () => ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Drift[]> {
  const entries = [...appliance.records.collection<BootEntry>("bootEntries").values()];
  const drifts: Drift[] = [];
  for (const network of appliance.config.networks) {
    const states = await appliance.targets.list(network.tgtd.control, signal).catch((error) => {
      // the doctor tells of a daemon that does not run
      if (isApplianceError(error, "UNAVAILABLE")) return undefined;
      throw error;
    });
    if (!states) continue;
    const held = heldSince();
    drifts.push(...states.flatMap((state) => ofForeignTarget(appliance, state)));
    for (const { nodeName, iqn, disk, network: name } of entries) {
      const isServed = name !== network.name || states.some((state) => state.iqn === iqn);
      if (isServed || held.has(disk)) continue;
      const message = "its boot entry has no target";
      const remedy = "made again within a second; if it stays, ingot doctor says what keeps it";
      drifts.push({ kind: "target-missing", id: disk, subject: `node ${nodeName}`, message, remedy });
    }
  }
  return drifts;
}

function ofForeignTarget(appliance: Appliance, { iqn, sessions }: TargetState): Drift[] {
  const named = parseTargetIqn(iqn);
  if (!named || named.appliance === appliance.id) return [];
  const addresses = [...new Set(sessions.flatMap((session) => session.addresses))].join(", ") || "nobody";
  const known = appliance.disks.find(named.disk);
  const remedy = known
    ? `ingot provision NODE --disk ${known.name} takes its place; ${repairBy("former-target", "removes it once it is silent")}`
    : `ingot adopt --from ${named.appliance}`;
  const message = `appliance ${named.appliance} made it; it serves ${addresses}`;
  return [{ kind: "former-target", id: iqn, subject: `target ${named.disk}`, message, remedy }];
}
