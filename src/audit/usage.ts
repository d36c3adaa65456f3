import type { Collection } from "../store/records.ts";
import { overlap, type Tenure } from "./tenure.ts";

/** What a project had in a month: node-hours, and GiB-hours of disks as nodes see them. */
export type Usage = { month: string; project: string; nodeHours: number; gibHours: number };

const HOUR = 3_600_000;
const GIB = 1024 ** 3;

/** Who had what at a moment, the tenures that `fits` takes. */
export function tenuresAt(tenures: Collection<Tenure>, at: number, fits: (tenure: Tenure) => boolean): Tenure[] {
  return [...tenures.values()].filter(
    (one) => one.since <= at && (one.until === undefined || one.until > at) && fits(one),
  );
}

/** What each project had in a month, `2026-11`, in UTC, by the tenures that `fits` takes; up to now for the one that lasts. By project. */
export function usageOf(
  tenures: Collection<Tenure>,
  month: string,
  now: number,
  fits: (tenure: Tenure) => boolean = () => true,
): Usage[] {
  const [year = 0, number = 1] = month.split("-").map(Number);
  const from = Date.UTC(year, number - 1);
  const to = Date.UTC(year, number);
  const byProject = new Map<string, Usage>();
  for (const tenure of tenures.values()) {
    const hours = overlap(tenure, from, to, now) / HOUR;
    if (hours === 0 || !fits(tenure)) continue;
    const { project } = tenure;
    const usage = byProject.get(project) ?? { month, project, nodeHours: 0, gibHours: 0 };
    if (tenure.kind === "node") usage.nodeHours += hours;
    else usage.gibHours += (hours * tenure.sizeBytes) / GIB;
    byProject.set(project, usage);
  }
  return [...byProject.values()].sort((a, b) => (a.project < b.project ? -1 : 1));
}
