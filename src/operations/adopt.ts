import type { StoredKind } from "../drivers/images/image-store.ts";
import type { Description } from "../drivers/images/pool-catalogue.ts";
import { ApplianceError } from "../errors.ts";
import type { Change } from "../store/records.ts";
import { freeName } from "../values/name.ts";
import { type AdoptionChoice, adoptedRecord, checkChoice, compareWithPool } from "./adoption.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure, StepContext } from "./operation.ts";
import { isLiving } from "./presence.ts";

export type AdoptRequest = AdoptionChoice & { project: string };

type AdoptPlan = {
  project: string;
  requestedBy: string;
  /** `from`: the appliance that a thing is taken from. */
  things: { kind: StoredKind; id: string; from?: string }[];
};

/** Only one appliance of a pool adopts at a time. */
const LEASE = "adopt";
const LEASE_SECONDS = 600;
/** Prolonged every so many things. */
const PROLONG_EVERY = 50;

/**
 * Makes records here for things in the pool that have none: those that are ours by their descriptions, and those that
 * are chosen. CONFLICT when there are none, or one of the appliances lives; NOT_FOUND as `checkChoice`.
 */
export async function adopt(
  appliance: Appliance,
  request: AdoptRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const found = await compareWithPool(appliance, request);
  checkChoice(found, request);
  const adopted = found.filter((one) => one.adopted);
  if (adopted.length === 0) throw nothingToAdopt([...new Set(found.flatMap((one) => ofGone(one)))]);
  const things = adopted.map(({ kind, id, appliance: owner }) =>
    owner === undefined || owner === appliance.id ? { kind, id } : { kind, id, from: owner },
  );
  return appliance.runner.begin<AdoptPlan>("adopt", {
    summary: `adopt ${things.length} of the pool's images and disks`,
    project: request.project,
    requestedBy,
    plan: { project: request.project, requestedBy, things },
    holds: things.map(({ id }) => id),
  });
}

function ofGone({ standing, appliance }: { standing: string; appliance?: string }): string[] {
  return standing === "gone" && appliance !== undefined ? [appliance] : [];
}

function nothingToAdopt(gone: string[]): ApplianceError {
  const remedy = gone[0] === undefined ? "ingot adopt --dry-run shows what there is" : `ingot adopt --from ${gone[0]}`;
  return new ApplianceError("CONFLICT", "there is nothing to adopt under this choice", {
    details: { field: "from", gone, remedy },
  });
}

/** The steps of an adoption: things become ours in the pool, one by one, and in the records all at once. */
export function adoptProcedure(appliance: Appliance): Procedure<AdoptPlan> {
  const { catalogue, poolLeases, clock, id: own } = appliance;

  const describeAs = async (
    context: StepContext<AdoptPlan>,
    each: (thing: AdoptPlan["things"][number]) => { appliance: string; takenFrom: string } | undefined,
  ) => {
    const { plan, signal } = context;
    const { things } = await catalogue.survey(signal);
    const found = new Map(things.map((one) => [one.id, one]));
    for (const [index, thing] of plan.things.entries()) {
      if (index % PROLONG_EVERY === 0) await poolLeases.take(LEASE, own, LEASE_SECONDS, signal);
      context.progress(index, plan.things.length, "things");
      const [there, change] = [found.get(thing.id), each(thing)];
      if (!there || !change) continue;
      const known: Description = there.description ?? {
        ...{ schema: 1, kind: thing.kind, id: thing.id, appliance: own, describedAt: clock.now() },
        record: adoptedRecord(appliance, there, plan, (_, wished) => wished),
      };
      await catalogue.describe({ ...known, appliance: change.appliance }, change.takenFrom, signal);
    }
    return plan.things.flatMap(({ id }) => found.get(id) ?? []);
  };

  return {
    kind: "adopt",
    steps: () => [
      {
        name: "hold-lease",
        deadlineSeconds: 60,
        run: async ({ signal }) => void (await poolLeases.take(LEASE, own, LEASE_SECONDS, signal)),
        undo: ({ signal }) => poolLeases.giveBack(LEASE, own, signal),
      },
      {
        name: "take-over",
        deadlineSeconds: 3600,
        run: async (context) => {
          const { plan } = context;
          await refuseLiving(appliance, plan, context.signal);
          const there = await describeAs(context, ({ from }) => ({ appliance: own, takenFrom: from ?? own }));
          const freeName = freeNames(appliance);
          const changes = there.map((thing): Change => {
            const nameOf = (project: string, wished: string) => freeName(thing.kind, project, wished);
            return { ...keyOf(thing), value: adoptedRecord(appliance, thing, plan, nameOf) };
          });
          return { output: { adopted: changes.length }, changes };
        },
        undo: async (context) =>
          void (await describeAs(context, ({ from }) =>
            from === undefined ? undefined : { appliance: from, takenFrom: own },
          )),
      },
      {
        name: "give-lease-back",
        deadlineSeconds: 60,
        // it runs out by itself
        run: ({ signal }) => poolLeases.giveBack(LEASE, own, signal).catch(() => {}),
      },
    ],
    undone: ({ things }) => things.map((thing) => ({ ...keyOf(thing), value: null })),
  };
}

/** CONFLICT when one of the appliances lives that things are taken from: an operation may go on long after it was begun. */
async function refuseLiving(appliance: Appliance, { things }: AdoptPlan, signal: AbortSignal): Promise<void> {
  for (const from of new Set(things.flatMap((thing) => thing.from ?? []))) {
    if (!(await isLiving(appliance, from, signal))) continue;
    throw new ApplianceError("CONFLICT", `appliance ${from} lives: its things stay its own`, {
      details: { field: "from", value: from, remedy: "stop its ingotd first, then adopt again" },
    });
  }
}

function keyOf({ kind, id }: { kind: StoredKind; id: string }): Pick<Change, "collection" | "key"> {
  return { collection: kind === "image" ? "images" : "disks", key: id };
}

/** Gives the wished name, or that with a number behind it: some of another appliance's things are called as ours. */
function freeNames({ images, disks }: Appliance): (kind: StoredKind, project: string, wished: string) => string {
  const key = (kind: StoredKind, project: string, name: string) => `${kind} ${project} ${name}`;
  const taken = new Set([
    ...images.list().map(({ project, name }) => key("image", project, name)),
    ...disks.list().map(({ project, name }) => key("disk", project, name)),
  ]);
  return (kind, project, wished) => {
    const name = freeName(wished, (one) => taken.has(key(kind, project, one)));
    taken.add(key(kind, project, name));
    return name;
  };
}
