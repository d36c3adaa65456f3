import { thingsOfLeftover } from "../drivers/images/pool-catalogue.ts";
import { ApplianceError } from "../errors.ts";
import { DEFAULT_PROJECT } from "../projects/project.ts";
import type { Change } from "../store/records.ts";
import type { Appliance } from "./appliance.ts";
import { type Drift, findDrift, isBooted } from "./drift.ts";
import { releaseFormerTarget } from "./former-targets.ts";
import type { OperationRecord, Procedure, Step } from "./operation.ts";
import { isNodeRepair, type NodeRepair, nodeRepairSteps } from "./repair-node.ts";
import type { Repair } from "./repairs.ts";

type ReconcilePlan = { repairs: NodeRepair[] };

/** Only one appliance of a pool tidies it at a time. */
const LEASE = "reconcile";
const LEASE_SECONDS = 600;
/** The operation may be over its deadline, or cancelled, when the lease is given back. */
const GIVE_BACK_MS = 10_000;

/**
 * Repairs what disagrees, of the kinds that are named and no other; with `only`, no more of them than was shown. CONFLICT when
 * there is nothing of them.
 */
export async function reconcile(
  appliance: Appliance,
  { repair, only }: { repair: Repair[]; only?: Pick<Drift, "kind" | "id" | "owner">[] },
  requestedBy: string,
): Promise<OperationRecord> {
  const drifts = await findDrift(appliance);
  const wasShown = ({ kind, id, owner }: Drift) =>
    only?.some((one) => one.kind === kind && one.id === id && one.owner === owner) ?? true;
  const repairs = drifts.filter((one) => repair.includes(one.kind as Repair) && wasShown(one)).map(toRepair);
  if (repairs.length === 0) {
    throw new ApplianceError("CONFLICT", `there is nothing to repair of ${repair.join(", ")}`, {
      details: { field: "repair", value: repair, remedy: "ingot reconcile shows what disagrees" },
    });
  }
  return appliance.runner.begin<ReconcilePlan>("reconcile", {
    summary: `repair ${repairs.length} of what disagrees with the records`,
    project: DEFAULT_PROJECT,
    requestedBy,
    plan: { repairs },
    // a leftover is some of what its disk's next revert or snapshot makes anew
    holds: [...new Set(repairs.flatMap(({ kind, id }) => (kind === "leftover" ? thingsOfLeftover(id) : id)))],
  });
}

function toRepair({ kind, id, owner }: Drift): ReconcilePlan["repairs"][number] {
  return { kind: kind as Repair, id, ...(owner === undefined ? {} : { owner }) };
}

/**
 * The steps of a reconciliation: one for all that the pool has, and those of each node. What the plan names is looked at
 * again, so what has gone by itself is left alone; each repair stands for itself, and is not taken back.
 */
export function reconcileProcedure(appliance: Appliance): Procedure<ReconcilePlan> {
  const { catalogue, poolLeases, id: own } = appliance;

  const changeFor = async (
    { kind, id }: ReconcilePlan["repairs"][number],
    sizes: ReadonlyMap<string, number>,
    signal: AbortSignal,
  ): Promise<Change[]> => {
    const [image, disk] = [appliance.images.find(id), appliance.disks.find(id)];
    const [collection, record] = image ? (["images", image] as const) : (["disks", disk] as const);
    if (kind === "leftover") await catalogue.clear(id, signal);
    else if (kind === "former-target") await releaseFormerTarget(appliance, id, signal);
    else if (!record) return [];
    else if (kind === "attachment") {
      if (!disk || isBooted(appliance, disk)) return [];
      const { node: _, dataLun: __, ...free } = disk;
      return [{ collection, key: id, value: free }];
    } else if (kind === "size-differs") {
      return [{ collection, key: id, value: { ...record, sizeBytes: sizes.get(id) ?? record.sizeBytes } }];
    } else {
      if (disk?.node !== undefined) throw attached(disk.name);
      return [{ collection, key: id, value: null }];
    }
    return [];
  };

  const repairAll = async (
    repairs: ReconcilePlan["repairs"],
    progress: (done: number, total: number, unit: "things") => void,
    signal: AbortSignal,
  ): Promise<Change[]> => {
    const { things } = await catalogue.survey(signal);
    const there = new Map(things.map((one) => [one.id, one]));
    const sizes = new Map(things.map(({ id, sizeBytes }) => [id, sizeBytes]));
    const changes: Change[] = [];
    for (const [index, one] of repairs.entries()) {
      progress(index, repairs.length, "things");
      const owner = there.get(one.id)?.description?.appliance;
      if (one.kind === "content-missing" && there.has(one.id)) continue;
      if (one.kind === "taken" && (owner === undefined || owner === own)) continue;
      changes.push(...(await changeFor(one, sizes, signal)));
    }
    return changes;
  };

  const repairThings: Step<ReconcilePlan> = {
    name: "repair",
    deadlineSeconds: 1800,
    run: async ({ plan, progress, signal }) => {
      const repairs = plan.repairs.filter((one) => !isNodeRepair(one));
      await poolLeases.take(LEASE, own, LEASE_SECONDS, signal);
      try {
        const changes = await repairAll(repairs, progress, signal);
        return { output: { repaired: repairs.length }, changes };
      } finally {
        // where it can't be given back, it runs out by itself
        await poolLeases.giveBack(LEASE, own, AbortSignal.timeout(GIVE_BACK_MS)).catch(() => {});
      }
    },
  };

  /** What the last comparison found is told until the next one. */
  const note: Step<ReconcilePlan> = {
    name: "note",
    deadlineSeconds: 10,
    run: ({ plan }) => {
      const { drift } = appliance;
      if (drift.report?.at === undefined) return;
      const isRepaired = ({ kind, id }: Drift) => plan.repairs.some((one) => one.kind === kind && one.id === id);
      drift.report = { ...drift.report, drifts: drift.report.drifts.filter((one) => !isRepaired(one)) };
    },
  };

  return {
    kind: "reconcile",
    steps: ({ repairs }) => [
      ...(repairs.every(isNodeRepair) ? [] : [repairThings]),
      ...repairs.filter(isNodeRepair).flatMap((one) => nodeRepairSteps<ReconcilePlan>(appliance, one)),
      note,
    ],
  };
}

function attached(name: string): ApplianceError {
  return new ApplianceError("IN_USE", `disk ${name} is attached to a node`, {
    details: { field: "disk", value: name, remedy: "ingot deprovision that node first, then repair again" },
  });
}
