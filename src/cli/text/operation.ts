import type { Operation } from "../answers.ts";
import { formatBar } from "./bar.ts";
import { formatFacts } from "./facts.ts";
import { formatBytes, formatDuration, formatMoment, secondsBetween } from "./quantity.ts";
import { type Column, formatTable, shorten } from "./table.ts";

/** All about one operation: what, how far, and what stands in its way. */
export function formatOperation(operation: Operation, width: number): string {
  const { id, state, summary, requestedBy, createdAt, endedAt, error, stuckWhile, waitingFor } = operation;
  const facts = formatFacts({
    operation: id,
    what: summary,
    state: stuckWhile ? `${state} while ${stuckWhile === "running" ? "going forward" : "undoing"}` : state,
    "requested by": requestedBy,
    began: formatMoment(createdAt),
    took: formatDuration(secondsBetween(createdAt, endedAt)),
    progress: operation.progress && formatProgress(operation),
    "waits for": waitingFor ? `${waitingFor.message} (${waitingFor.code})` : operation.progress?.waitingFor,
    error: error && `${error.message} (${error.code})`,
    remedy: (waitingFor ?? error)?.remedy,
  });
  return `${facts}\n${formatTable(STEP_COLUMNS, operation.steps, width)}`;
}

type Step = Operation["steps"][number];

const STEP_COLUMNS: Column<Step>[] = [
  { title: "STEP", show: ({ name }) => name },
  { title: "STATE", show: ({ state }) => state },
  {
    title: "TOOK",
    align: "right",
    show: ({ startedAt, endedAt }) => (startedAt ? formatDuration(secondsBetween(startedAt, endedAt)) : ""),
  },
  { title: "TRIES", align: "right", show: ({ attempts }) => (attempts > 1 ? String(attempts) : "") },
  { title: "ERROR", show: ({ error }) => error?.message ?? "", cut: "end" },
];

/** Where it is, in a line: `step 3/9 clone-disk ██████░░░░ 1.2 of 4.0 GiB`. */
export function formatProgress({ state, steps, progress }: Operation, width = 80): string {
  const index = steps.findIndex((step) => step.state !== "succeeded");
  const name = steps[index]?.name;
  const place = state === "running" && name ? `step ${index + 1}/${steps.length} ${name}` : state;
  if (!progress || progress.step !== name || progress.total === 0) return shorten(place, width);
  const { done, total, unit } = progress;
  const bar = formatBar(done / total);
  const amount = {
    bytes: `${formatBytes(done)} of ${formatBytes(total)}`,
    seconds: `${formatDuration(done)} of at most ${formatDuration(total)}`,
    things: `${done} of ${total}`,
  }[unit];
  return shorten(`${place} ${bar} ${amount}`, width);
}
