import type { ErrorCode, ErrorDetails } from "../errors.ts";
import type { Change } from "../store/records.ts";

/** The long changes that the runner knows. */
export type OperationKind =
  | "import"
  | "provision"
  | "deprovision"
  | "snapshot"
  | "revert"
  | "flatten"
  | "limit-disk"
  | "create-disk"
  | "remove-disk"
  | "remove-image"
  | "copy-image"
  | "attach"
  | "detach"
  | "import-rbd"
  | "import-increment"
  | "export-image"
  | "power"
  | "adopt"
  | "reconcile"
  | "grow-pool"
  | "create-network"
  | "remove-network"
  | "share-network"
  | "attach-network"
  | "detach-network"
  | "close-project";

const APPLIANCE_WIDE: ReadonlySet<OperationKind> = new Set(["adopt", "reconcile", "grow-pool", "close-project"]);

/** Whether an operation is about the appliance as a whole, and no project's own. */
export function isApplianceWide({ kind }: Pick<OperationRecord, "kind">): boolean {
  return APPLIANCE_WIDE.has(kind);
}

/**
 * `running` and `undoing` go on after a restart. `done`: all steps succeeded. `undone`: failed or cancelled, and
 * nothing of it is left. `stuck`: neither forward nor back; a person must look, then `retry` goes on.
 */
export type OperationState = "running" | "undoing" | "done" | "undone" | "stuck";

export type StepState = "pending" | "started" | "succeeded" | "failed" | "undone";

/** An error as records and answers carry it. No secrets. */
export type RecordedError = { code: ErrorCode; message: string; details: ErrorDetails; retryable: boolean };

export type StepRecord = {
  name: string;
  state: StepState;
  startedAt?: number;
  endedAt?: number;
  attempts: number;
  /** What the step found out, for later steps and for people. Plain JSON, no secrets. */
  output?: Record<string, unknown>;
  error?: RecordedError;
};

/** One long change: what was asked, how far it is. Collection "operations", keyed by id. */
export type OperationRecord = {
  id: string;
  kind: OperationKind;
  project: string;
  requestedBy: string;
  /** One line for people: "provision node7 from debian". */
  summary: string;
  /** Everything decided before the first side effect: ids and names are in here, so that undo finds things after a crash. */
  plan: Record<string, unknown>;
  /** Ids of the nodes, disks and images that no other operation may touch meanwhile. */
  holds: string[];
  /** Ids of what it works from: others may do so at the same time, but nobody may change or remove it. */
  uses?: string[];
  /** Whether it is cancelled when another one wants what it holds. */
  yields?: boolean;
  state: OperationState;
  /** For `stuck`: whether `retry` goes on forward or with undoing. */
  stuckWhile?: "running" | "undoing";
  cancelRequested: boolean;
  steps: StepRecord[];
  error?: RecordedError;
  createdAt: number;
  endedAt?: number;
};

/** What a step works with. Everything in it may be asked again after a crash. */
export type StepContext<Plan> = {
  operation: string;
  plan: Plan;
  /** Output of an earlier step of this operation. */
  output(step: string): Record<string, unknown> | undefined;
  /** For people; kept in memory only. Seconds are those of a wait, and how long it may take; `waitingFor` says for what. */
  progress(done: number, total: number, unit: "bytes" | "seconds" | "things", waitingFor?: string): void;
  /** Aborted at the step's deadline, on cancel, and when the process ends. */
  signal: AbortSignal;
};

/** `changes` are committed in the same journal line that says the step succeeded (or was undone). */
export type StepResult = { output?: Record<string, unknown>; changes?: Change[] };

// biome-ignore lint/suspicious/noConfusingVoidType: a step without a result just returns
type StepReturn = Promise<StepResult | void> | StepResult | void;

export type Step<Plan> = {
  name: string;
  /** Seconds for one try of `run`, and for one of `undo`. */
  deadlineSeconds: number | ((plan: Plan) => number);
  /** Must be safe to run again after any interruption. */
  run(context: StepContext<Plan>): StepReturn;
  /** Takes back what `run` did, in whole or in part, or not at all: it also runs for a step that failed half-way. */
  undo?(context: StepContext<Plan>): StepReturn;
  /** After this step succeeded there is no way back: later failures end `stuck`, to be retried, never undone. */
  pointOfNoReturn?: boolean;
};

/** How one kind of operation goes. */
export type Procedure<Plan> = {
  kind: OperationKind;
  steps(plan: Plan): Step<Plan>[];
  /** Further changes in the journal line that ends the operation undone. */
  undone?(plan: Plan): Change[];
  /** Its steps ask what other operations did since it began: those are remembered until it is over. */
  looksBack?: true;
};

/** Whether nothing more comes of it. */
export function isOver(state: OperationState): boolean {
  return state === "done" || state === "undone";
}
