import { setTimeout as pause } from "node:timers/promises";
import { isApplianceError } from "../errors.ts";
import type { Operation } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { exitCodeOf, INTERRUPTED, STUCK } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";
import { formatProgress } from "./text/operation.ts";
import { formatDuration, secondsBetween } from "./text/quantity.ts";

/** An operation goes on when ingotd restarts: a pause of this length is waited out. */
const PATIENCE_MS = 60_000;
const LOOK_SECONDS = 1;

/** The end of waiting that is not success: what to say, and how to exit. */
export class OperationEnd extends Error {
  readonly exitCode: number;
  readonly remedy: string | undefined;

  constructor(message: string, exitCode: number, remedy?: string) {
    super(message);
    this.exitCode = exitCode;
    this.remedy = remedy;
  }
}

/**
 * Waits for the end of an operation and shows its progress: in place for people, a line per step otherwise.
 * Ctrl-C ends the waiting, not the operation. OperationEnd when it is interrupted, undone or stuck.
 */
export async function follow(
  api: ApiClient,
  begun: Operation,
  terminal: Terminal,
  { quiet }: { quiet: boolean },
): Promise<Operation> {
  const interrupt = new AbortController();
  const onInterrupt = () =>
    interrupt.abort(
      new OperationEnd(
        `${begun.summary} goes on without you`,
        INTERRUPTED,
        `look again: ingot operation show ${begun.id}`,
      ),
    );
  process.once("SIGINT", onInterrupt);
  const show = quiet ? () => {} : terminal.isWatched ? inPlace(terminal) : byLine(terminal);
  try {
    let operation = begun;
    let heardAt = Date.now();
    while (operation.state === "running" || operation.state === "undoing") {
      show(operation);
      try {
        const path = `/v1/operations/${begun.id}?waitSeconds=${LOOK_SECONDS}`;
        operation = await api.get<Operation>(path, interrupt.signal);
        heardAt = Date.now();
      } catch (error) {
        if (!isApplianceError(error, "UNAVAILABLE") || Date.now() - heardAt > PATIENCE_MS) throw error;
        await pause(LOOK_SECONDS * 1000, undefined, { signal: interrupt.signal }).catch(() => {});
        interrupt.signal.throwIfAborted();
      }
    }
    show(undefined);
    return judge(operation);
  } finally {
    if (!quiet && terminal.isWatched) show(undefined);
    process.off("SIGINT", onInterrupt);
  }
}

function judge(operation: Operation): Operation {
  const { id, state, summary, error } = operation;
  if (state === "done") return operation;
  const reason = error?.message ?? "no reason is known";
  if (state === "stuck") {
    throw new OperationEnd(
      `${summary} is stuck: ${reason}`,
      STUCK,
      `${error?.remedy ? `${error.remedy}; then ` : "see ingot operation show, mend the cause, then "}ingot operation retry ${id}`,
    );
  }
  const exitCode = exitCodeOf(error?.code ?? "INTERNAL");
  throw new OperationEnd(`${summary} failed and was undone: ${reason}`, exitCode, error?.remedy);
}

/** `provision node-1 from debian: done in 34 s`. */
export function formatDone({ summary, createdAt, endedAt }: Operation): string {
  return `${summary}: done in ${formatDuration(secondsBetween(createdAt, endedAt))}\n`;
}

type Show = (operation: Operation | undefined) => void;

function inPlace(terminal: Terminal): Show {
  return (operation) => terminal.err(`\r\x1b[K${operation ? formatProgress(operation, terminal.columns - 1) : ""}`);
}

function byLine(terminal: Terminal): Show {
  let last = "";
  return (operation) => {
    if (!operation) return;
    const line = formatProgress({ ...operation, progress: undefined }, terminal.columns);
    if (line !== last) terminal.err(`${line}\n`);
    last = line;
  };
}
