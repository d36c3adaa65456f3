import { z } from "zod";
import type { DiskRecord } from "../disks/disk.ts";
import type { StoredKind } from "../drivers/images/image-store.ts";
import type { SurveyedThing } from "../drivers/images/pool-catalogue.ts";
import { ApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import { NAME_PATTERN } from "../values/name.ts";
import type { Appliance } from "./appliance.ts";
import { describeRecord, textOf } from "./describe-record.ts";
import { isLiving } from "./presence.ts";

/** What is to be taken beside what is ours anyway. */
export type AdoptionChoice = {
  /** Ids of appliances that are gone, whose things become ours. */
  from: string[];
  /** Ids of things that nobody has described, adopted with their ids for names. */
  undescribed: string[];
};

/**
 * How a thing in the pool stands to the records here:
 * `lost`: ours by its description, without a record; `gone`: of an appliance that is gone; `living`: of one that lives;
 * `undescribed`: nobody's; `taken`: it has a record here, and is another appliance's by its description; `differs`: ours,
 * and its description says something else than its record.
 */
export type Standing = "lost" | "gone" | "living" | "undescribed" | "taken" | "differs";

/** One thing that differs between pool and records, and whether it is adopted under the choice that was made. */
export type Candidate = {
  kind: StoredKind;
  id: string;
  name: string;
  sizeBytes: number;
  standing: Standing;
  /** Id of the appliance that its description names. */
  appliance?: string;
  /** Name of the node that it was attached to there. */
  node?: string;
  adopted: boolean;
};

const SURVEY_SECONDS = 300;

/** Compares the pool with the records. Asks the pool once; changes nothing. What is the same on both sides is left out. */
export async function compareWithPool(
  appliance: Appliance,
  choice: AdoptionChoice,
  signal: AbortSignal = AbortSignal.timeout(SURVEY_SECONDS * 1000),
): Promise<Candidate[]> {
  const { things } = await appliance.catalogue.survey(signal);
  const living = new Map<string, boolean>();
  for (const { description } of things) {
    const owner = description?.appliance;
    if (owner === undefined || owner === appliance.id || living.has(owner)) continue;
    living.set(owner, await isLiving(appliance, owner, signal));
  }
  const found = things.flatMap((thing): Candidate[] => {
    // of an operation that is under way: just before or behind its record
    if (appliance.runner.holder(thing.id) !== undefined) return [];
    const standing = standingOf(appliance, thing, living);
    return standing ? [candidate(thing, standing, choice)] : [];
  });
  return found.sort((a, b) => ORDER.indexOf(a.standing) - ORDER.indexOf(b.standing) || compare(a, b));
}

const ORDER: readonly Standing[] = ["lost", "gone", "undescribed", "taken", "differs", "living"];

function compare(a: Candidate, b: Candidate): number {
  return (
    (a.appliance ?? "").localeCompare(b.appliance ?? "") || b.kind.localeCompare(a.kind) || a.name.localeCompare(b.name)
  );
}

function standingOf(
  appliance: Appliance,
  { kind, id, description }: SurveyedThing,
  living: ReadonlyMap<string, boolean>,
): Standing | undefined {
  const [image, disk] = [appliance.images.find(id), appliance.disks.find(id)];
  const owner = description?.appliance;
  const isOurs = owner === appliance.id;
  if (!image && !disk) {
    if (!description || !parseRecord(kind, description.record)) return "undescribed";
    return isOurs ? "lost" : living.get(owner!) ? "living" : "gone";
  }
  // the mirror will describe it in a moment
  if (!description) return undefined;
  if (!isOurs) return "taken";
  const own = image ? ({ kind: "image", record: image } as const) : ({ kind: "disk", record: disk! } as const);
  return textOf(describeRecord(appliance, own)) === textOf(description) ? undefined : "differs";
}

function candidate({ kind, id, sizeBytes, description }: SurveyedThing, standing: Standing, choice: AdoptionChoice) {
  const owner = description?.appliance;
  const adopted =
    standing === "lost" ||
    (standing === "gone" && choice.from.includes(owner!)) ||
    (standing === "undescribed" && choice.undescribed.includes(id));
  const record = description && parseRecord(kind, description.record);
  return {
    ...{ kind, id, sizeBytes, standing, adopted, name: record?.name ?? id },
    ...(owner === undefined ? {} : { appliance: owner }),
    ...(description?.node === undefined ? {} : { node: description.node }),
  };
}

const common = {
  id: z.string(),
  name: z.string().regex(NAME_PATTERN),
  project: z.string(),
  createdAt: z.number(),
  requestedBy: z.string(),
};
const recordSchemas = {
  image: z.looseObject({ ...common, origin: z.looseObject({ kind: z.string() }), phonesHome: z.boolean() }),
  disk: z.looseObject({ ...common, clean: z.boolean() }),
} as const;

function parseRecord(kind: StoredKind, record: Record<string, unknown>) {
  return recordSchemas[kind].safeParse(record).data;
}

/** The record of an adopted thing: in its own project, if that is here, under a name that is free there. Of its former appliance's nodes it knows nothing. */
export function adoptedRecord(
  { clock, projects }: Pick<Appliance, "clock" | "projects">,
  { kind, id, sizeBytes, description }: SurveyedThing,
  { requestedBy, ...request }: { project: string; requestedBy: string },
  nameOf: (project: string, wished: string) => string,
): ImageRecord | DiskRecord {
  const known = description && parseRecord(kind, description.record);
  const project = projects.list().find(({ name }) => name === known?.project)?.name ?? request.project;
  const facts = { id, project, sizeBytes };
  if (kind === "image") {
    const origin = { kind: "import", source: "adopted", format: "raw" } as const;
    const made = { origin, phonesHome: false, createdAt: clock.now(), requestedBy };
    return { ...made, ...known, ...facts, name: nameOf(project, known?.name ?? id), ready: true } as ImageRecord;
  }
  const made = { ...(known ? {} : { image: "unknown" }), createdAt: clock.now(), requestedBy };
  // a node that has it may be writing to it
  const clean = known?.clean === true && description?.node === undefined;
  const {
    node: _,
    dataLun: __,
    ...record
  } = {
    ...made,
    ...known,
    ...facts,
    name: nameOf(project, known?.name ?? id),
    clean,
  } as DiskRecord;
  return record;
}

/** CONFLICT for a living appliance in `from`, NOT_FOUND for one that has nothing here, or a thing that is not undescribed. */
export function checkChoice(found: readonly Candidate[], { from, undescribed }: AdoptionChoice): void {
  for (const owner of from) {
    const theirs = found.filter((one) => one.appliance === owner);
    if (theirs.some(({ standing }) => standing === "living")) {
      throw new ApplianceError("CONFLICT", `appliance ${owner} lives`, {
        details: {
          field: "from",
          value: owner,
          remedy: "stop its ingotd first, and see that it stays so: its nodes run on",
        },
      });
    }
    if (!theirs.some(({ standing }) => standing === "gone")) throw nothingOf("from", owner, "appliance");
  }
  for (const id of undescribed) {
    const isThere = found.some((one) => one.id === id && one.standing === "undescribed");
    if (!isThere) throw nothingOf("undescribed", id, "thing without a description");
  }
}

function nothingOf(field: string, value: string, what: string): ApplianceError {
  return new ApplianceError("NOT_FOUND", `${field}: the pool has nothing to adopt of ${what} ${value}`, {
    details: { field, value, remedy: "ingot adopt --dry-run shows what there is" },
  });
}
