import { ApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import type { DiskRecord } from "./disk.ts";

const SHORTEST_SECONDS = 300;
const LONGEST_SECONDS = 366 * 86_400;
const MOST_KEPT = 1000;
/** One that failed is tried again so soon. */
const RETRY_MS = 600_000;
/** What a name has room for beside the moment. */
const NAME_LETTERS = 63 - "-20261127-1900".length;

/** When snapshots of a disk are taken, and how many of them stay. Moments in ms since the epoch. */
export type SnapshotSchedule = {
  everySeconds: number;
  keep: number;
  /** When the last one was due that was taken. */
  lastAt?: number;
  /** Why the last one could not be taken. */
  failure?: { at: number; message: string };
};

/** INVALID for a schedule that is too close, too rare, or keeps nothing. */
export function checkSchedule({ everySeconds, keep }: Pick<SnapshotSchedule, "everySeconds" | "keep">): void {
  if (everySeconds < SHORTEST_SECONDS || everySeconds > LONGEST_SECONDS) {
    throw new ApplianceError("INVALID", "every: use 5 minutes to 366 days", {
      details: { field: "everySeconds", value: everySeconds, remedy: "write it like 30m, 6h or 1d" },
    });
  }
  if (keep < 1 || keep > MOST_KEPT) {
    throw new ApplianceError("INVALID", `keep: use 1 to ${MOST_KEPT}`, {
      details: { field: "keep", value: keep, remedy: "say how many snapshots shall stay" },
    });
  }
}

/** Whether one is to be taken now: when many were missed, one. Moments far ahead are those of a clock that was set back since. */
export function isDue({ everySeconds, lastAt, failure }: SnapshotSchedule, now: number): boolean {
  const every = everySeconds * 1000;
  if (failure && Math.abs(now - failure.at) < Math.min(RETRY_MS, every)) return false;
  return lastAt === undefined || Math.abs(now - lastAt) >= every;
}

/** The schedule once one was taken at `now`: the next is due when it would have been, had none been missed or late. */
export function taken({ everySeconds, keep, lastAt }: SnapshotSchedule, now: number): SnapshotSchedule {
  const every = everySeconds * 1000;
  return { everySeconds, keep, lastAt: lastAt === undefined || lastAt > now ? now : now - ((now - lastAt) % every) };
}

/** `node-1-1-20261127-1900`, in UTC; long names of disks are cut. */
export function scheduledName(disk: string, now: number): string {
  const [day = "", time = ""] = new Date(now).toISOString().split("T");
  const moment = `${day.replaceAll("-", "")}-${time.slice(0, 5).replace(":", "")}`;
  return `${disk.slice(0, NAME_LETTERS).replace(/[^a-z0-9]+$/, "")}-${moment}`;
}

/**
 * Of a disk's own scheduled snapshots that are its project's still, those beyond the newest `keep`. What is from a time to come
 * was taken before the clock was set back: it is older than all that was taken since.
 */
export function surplus(
  images: readonly ImageRecord[],
  disk: Pick<DiskRecord, "id" | "project">,
  keep: number,
  now: number,
): ImageRecord[] {
  const isAhead = ({ createdAt }: ImageRecord) => Number(createdAt > now);
  return images
    .filter(({ project, ready }) => ready && project === disk.project)
    .filter(({ origin }) => origin.kind === "snapshot" && origin.disk === disk.id && origin.scheduled)
    .sort((a, b) => isAhead(a) - isAhead(b) || b.createdAt - a.createdAt)
    .slice(keep);
}
