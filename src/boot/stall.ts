import type { NetworkConfig } from "../config/schema.ts";
import type { BootEntry } from "./boot-entry.ts";
import type { BootStage } from "./boot-event.ts";
import { type BootSession, find, type RefusalSeen, type StageSeen } from "./boot-session.ts";
import { decisiveAfter, explainRefusal } from "./refusals.ts";
import { causesOf, symptomOf } from "./stall-causes.ts";

/** What a boot waits for when it stands still, in the order of a boot; `refused`: it was told no. */
export const STALL_KINDS = [
  "no-dhcp",
  "offer-not-taken",
  "refused",
  "loader-not-fetched",
  "loader-incomplete",
  "loader-silent",
  "no-script",
  "no-login",
  "no-read",
  "no-os-login",
  "not-ready",
] as const;
export type StallKind = (typeof STALL_KINDS)[number];

/** What may be behind it, and what to look at or do. */
export type StallCause = { cause: string; remedy: string };

/** What a boot waits for, and what may keep it. */
export type Obstacle = {
  kind: StallKind;
  /** The last stage that it reached. */
  stage?: BootStage;
  /** Since when nothing new was seen. */
  since: number;
  /** One line: what was seen last, and what is missing. */
  symptom: string;
  /** The likeliest first. */
  causes: readonly StallCause[];
  /** For `refused`. */
  reason?: string;
};

/** A boot that stands still. */
export type Stall = Obstacle & {
  /** Boots in a row that got no further; a machine that gives up begins anew. */
  attempts: number;
};

/** What a diagnosis goes by besides the boot itself. */
export type BootPlan = {
  entry: BootEntry;
  /** Where the entry's node boots, if that network is still configured. */
  network: NetworkConfig | undefined;
};

/**
 * How long each step may take before it is called a stall, in seconds. A virtual machine, without acceleration, takes a
 * tenth of it at most; the rest is for self-tests, switch ports that learn for half a minute, and slow disks.
 */
const PATIENCE_SECONDS: Record<Exclude<StallKind, "refused">, number> = {
  "no-dhcp": 600,
  "offer-not-taken": 40,
  "loader-not-fetched": 60,
  "loader-incomplete": 30,
  "loader-silent": 90,
  "no-script": 60,
  "no-login": 30,
  "no-read": 30,
  "no-os-login": 180,
  "not-ready": 300,
};

/** A step that this very machine took longer for before may take so long again, and half as long on top. */
const SLACK = 1.5;

/** After so many boots in a row that ended at the same place, the next one is no longer waited for. */
const MOST_ATTEMPTS = 3;

/** How the node's boots (newest first) stand still, if they do: a boot that goes on, has ended or was ended by us does not. */
export function findStall(boots: readonly BootSession[], plan: BootPlan, now: number): Stall | undefined {
  const [current, ...earlier] = boots.filter(({ startedAt }) => startedAt >= plan.entry.createdAt);
  if (!current || current.switchedOffAt !== undefined) return undefined;
  const obstacle = findObstacle(current, plan);
  if (!obstacle) return undefined;
  const failed = isBegunByUs(current) ? [] : failedBefore(earlier, plan);
  const attempts = failed.length + 1;
  if (now - obstacle.since >= patienceMs(obstacle, boots)) return { ...obstacle, attempts };
  const last = failed[0];
  if (!last || attempts < MOST_ATTEMPTS || rank(obstacle) > rank(last)) return undefined;
  return { ...last, attempts };
}

/** What the furthest of these boots waits for, however long it has. */
export function findFurthest(boots: readonly BootSession[], plan: BootPlan): Obstacle | undefined {
  return boots
    .map((boot) => findObstacle(boot, plan))
    .reduce((best, one) => (one && (!best || rank(one) > rank(best)) ? one : best), undefined);
}

/** What this boot waits for, however long it has; undefined for one that is over, or that is not to come to its disk. */
function findObstacle(boot: BootSession, plan: BootPlan): Obstacle | undefined {
  const { entry } = plan;
  if (find(boot, "ready") || (!entry.phonesHome && find(boot, "iscsi-login-os"))) return undefined;
  if (entry.once && entry.bootedAt !== undefined) return undefined;
  const reached = lastReached(boot);
  const at = { ...(reached ? { stage: reached.seen.stage } : {}), since: reached?.at ?? boot.startedAt };
  const refusal = boot.refusals.findLast(
    ({ reason, lastAt }) => decisiveAfter(reason) !== undefined && lastAt >= (reached?.seen.lastAt ?? 0),
  );
  if (refusal) {
    const { cause, remedy } = explainRefusal(refusal, plan);
    return {
      ...at,
      kind: "refused",
      since: refusal.at,
      symptom: `refused: ${cause}`,
      causes: [{ cause, remedy }],
      reason: refusal.reason,
    };
  }
  const kind = missing(boot, reached);
  if (!kind) return undefined;
  const sight = { ...plan, boot, stage: reached?.seen, refusals: refusalsSince(boot, at.since) };
  return { ...at, kind, symptom: symptomOf(kind, sight), causes: causesOf(kind, sight) };
}

type Reached = { seen: StageSeen; at: number };

/** The newest thing that this boot did for the first time. Doing something again is no progress, except behind a chained loader. */
function lastReached(boot: BootSession): Reached | undefined {
  const newest = boot.stages.findLast(({ stage }) => stage !== "dhcp-os");
  if (newest?.stage !== "boot-file") return newest && { seen: newest, at: newest.at };
  const again = (["script", "dhcp-ipxe"] as const)
    .map((stage) => find(boot, stage))
    .find((seen) => seen && seen.lastAt > newest.lastAt);
  return again ? { seen: again, at: again.lastAt } : { seen: newest, at: newest.at };
}

function missing(boot: BootSession, reached: Reached | undefined): Exclude<StallKind, "refused"> | undefined {
  const { stage, decision, address, acknowledged } = reached?.seen ?? {};
  switch (stage) {
    case undefined:
    case "power-on":
      return "no-dhcp";
    case "dhcp-firmware":
    case "dhcp-ipxe":
      // beside a foreign DHCP server, the address is not ours to give
      if (address && !acknowledged) return "offer-not-taken";
      if (decision === "loader") return hasBrokenOff(boot, reached) ? "loader-incomplete" : "loader-not-fetched";
      return decision === "script" ? "no-script" : undefined;
    case "boot-file":
      return "loader-silent";
    case "script":
      if (decision === "loader") return hasBrokenOff(boot, reached) ? "loader-incomplete" : "loader-not-fetched";
      return decision === "sanboot" ? "no-login" : undefined;
    case "iscsi-login-firmware":
      return "no-read";
    case "first-read":
      return "no-os-login";
    default:
      return "not-ready";
  }
}

function hasBrokenOff(boot: BootSession, reached: Reached | undefined): boolean {
  return refusalsSince(boot, reached?.at ?? 0).some(({ reason }) =>
    ["boot-file-timeout", "boot-file-aborted", "boot-file-failed"].includes(reason),
  );
}

function refusalsSince({ refusals }: BootSession, since: number): RefusalSeen[] {
  return refusals.filter(({ lastAt }) => lastAt >= since);
}

/**
 * What kept each of the boots right before this one, the latest first. One that came up or was ended by us breaks the
 * row, and so does a power-on: whoever gives it may have mended the cause.
 */
function failedBefore(earlier: readonly BootSession[], plan: BootPlan): Obstacle[] {
  const failed: Obstacle[] = [];
  for (const boot of earlier) {
    const obstacle = boot.switchedOffAt === undefined ? findObstacle(boot, plan) : undefined;
    if (!obstacle) break;
    failed.push(obstacle);
    if (isBegunByUs(boot)) break;
  }
  return failed;
}

function isBegunByUs(boot: BootSession): boolean {
  return find(boot, "power-on") !== undefined;
}

function patienceMs({ kind, stage, reason }: Obstacle, boots: readonly BootSession[]): number {
  if (kind === "refused") return (decisiveAfter(reason ?? "") ?? 0) * 1000;
  const before = stage === undefined ? [] : boots.map((boot) => timeAfter(boot, stage));
  return Math.max(PATIENCE_SECONDS[kind] * 1000, ...before.map((ms) => ms * SLACK));
}

/** How long this boot took from a stage to the next one; 0 when it did not come so far. */
function timeAfter({ stages }: BootSession, stage: BootStage): number {
  const index = stages.findIndex((one) => one.stage === stage);
  const [from, to] = stages.slice(index);
  return index >= 0 && from && to ? to.at - from.at : 0;
}

function rank({ kind }: Obstacle): number {
  return STALL_KINDS.indexOf(kind);
}
