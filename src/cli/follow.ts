import { setTimeout as pause } from "node:timers/promises";
import { isApplianceError } from "../errors.ts";
import type { Operation } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { CommandEnd } from "./command-end.ts";
import { exitCodeOf, INTERRUPTED, STUCK } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";
import { formatProgress } from "./text/operation.ts";
import { formatDuration, secondsBetween } from "./text/quantity.ts";

/** An operation goes on when ingotd restarts: a pause of this length is waited out. */
const PATIENCE_MS = 60_000;
const LOOK_SECONDS = 1;
/** What takes no longer is no news. */
const USUAL_WAIT_SECONDS = 5;

/**
 * Waits for the end of an operation and shows its progress: in place for people, a line per step otherwise.
 * Ctrl-C ends the waiting, not the operation. CommandEnd when it is interrupted, undone or stuck.
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
      new CommandEnd(
        `${begun.summary} goes on without you`,
        INTERRUPTED,
        `look again: ingot operation show ${begun.id}`,
      ),
    );
  process.once("SIGINT", onInterrupt);
  const show = quiet ? SILENT : terminal.isWatched ? inPlace(terminal) : byLine(terminal);
  try {
    let operation = begun;
    let heardAt = Date.now();
    let asked: string | undefined;
    let awaited: string | undefined;
    while (operation.state === "running" || operation.state === "undoing") {
      show.update(operation);
      asked = ask(operation, asked, terminal);
      awaited = tellWait(operation, awaited, terminal);
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
    show.update(operation);
    return judge(operation);
  } finally {
    show.end();
    process.off("SIGINT", onInterrupt);
  }
}

/** Says once what somebody shall do by hand; answers what was asked last. */
function ask({ operatorRequest }: Operation, asked: string | undefined, terminal: Terminal): string | undefined {
  if (!operatorRequest) return undefined;
  const { node, action, since } = operatorRequest;
  if (since !== asked) {
    const clear = terminal.isWatched ? CLEAR : "";
    terminal.err(`${clear}${node}: ${action}, by hand; when you saw it done: ingot node confirm ${node}\n`);
  }
  return since;
}

/** Says once what an operation waits out, or waits for longer than is usual; answers what was said last. */
function tellWait({ waitingFor, progress }: Operation, told: string | undefined, terminal: Terminal) {
  const isLong = progress?.waitingFor !== undefined && progress.done >= USUAL_WAIT_SECONDS;
  const wait = waitingFor ?? (isLong ? { message: progress.waitingFor as string, remedy: undefined } : undefined);
  if (!wait || wait.message === told) return told;
  const { message, remedy } = wait;
  terminal.err(`${terminal.isWatched ? CLEAR : ""}waits: ${message}${remedy ? ` -> ${remedy}` : ""}\n`);
  return message;
}

function judge(operation: Operation): Operation {
  const { id, state, summary, error } = operation;
  if (state === "done") return operation;
  const reason = error?.message ?? "no reason is known";
  if (state === "stuck") {
    throw new CommandEnd(
      `${summary} is stuck: ${reason}`,
      STUCK,
      `${error?.remedy ? `${error.remedy}; then ` : "see ingot operation show, mend the cause, then "}ingot operation retry ${id}`,
    );
  }
  const exitCode = exitCodeOf(error?.code ?? "INTERNAL");
  throw new CommandEnd(`${summary} failed and was undone: ${reason}`, exitCode, error?.remedy);
}

/** `provision node-1 from debian: done in 34 s`. */
export function formatDone({ summary, createdAt, endedAt }: Operation): string {
  return `${summary}: done in ${formatDuration(secondsBetween(createdAt, endedAt))}\n`;
}

type Show = { update(operation: Operation): void; end(): void };

const SILENT: Show = { update: () => {}, end: () => {} };
/** Back to the begin of the line, and nothing left on it. */
const CLEAR = "\r\x1b[K";

function inPlace(terminal: Terminal): Show {
  return {
    update: (operation) => terminal.err(CLEAR + formatProgress(operation, terminal.columns - 1)),
    end: () => terminal.err(CLEAR),
  };
}

/** Every step that began, in order, however many of them between two looks. */
function byLine(terminal: Terminal): Show {
  let told = 0;
  return {
    update: ({ steps }) => {
      for (; told < steps.length && steps[told]?.state !== "pending"; told++) {
        terminal.err(`step ${told + 1}/${steps.length} ${steps[told]?.name}\n`);
      }
    },
    end: () => {},
  };
}
