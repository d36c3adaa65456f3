import type { Clock } from "../clock.ts";
import { ApplianceError, toApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import { newId } from "../values/id.ts";
import { Holds } from "./holds.ts";
import {
  isOver,
  type OperationKind,
  type OperationRecord,
  type OperationState,
  type Procedure,
  type RecordedError,
  type Step,
  type StepContext,
  type StepRecord,
  type StepResult,
} from "./operation.ts";

const TRIES = 4;
const FIRST_PAUSE_MS = 250;
const STORE_PAUSE_MS = 2000;
/** Longest pause between two tries while something is waited for that has to come back. */
const OUTAGE_PAUSE_MS = 15_000;
/** Ended operations that are kept for people to look at. */
const KEPT = 200;

/** How far the current step is; in memory only. */
export type Progress = {
  step: string;
  done: number;
  total: number;
  unit: "bytes" | "seconds" | "things";
  /** What it waits for, where that is not plain from the step's name. */
  waitingFor?: string;
};

export type OperationRequest<Plan> = {
  summary: string;
  project: string;
  requestedBy: string;
  plan: Plan;
  holds: string[];
  uses?: string[];
  /** Whether it is cancelled when another one wants what it holds. */
  yields?: boolean;
  /** Changes in the same journal line that begins the operation. */
  changes?: Change[];
};

type Running = { abort: AbortController; ended: Promise<void>; progress?: Progress; waitingFor?: RecordedError };

/**
 * Runs long changes step by step. Each transition is on disk before the next side effect; a failure unwinds in
 * reverse; a restart goes on where the journal ends. Steps that fail with a retryable error are tried again; where an
 * operation has no other way, for as long as an outage lasts (`details.outage`).
 */
export class OperationRunner {
  readonly #records: Records;
  readonly #operations: Collection<OperationRecord>;
  readonly #clock: Clock;
  readonly #log: Log;
  // biome-ignore lint/suspicious/noExplicitAny: each procedure knows its own plan
  readonly #procedures = new Map<OperationKind, Procedure<any>>();
  readonly #running = new Map<string, Running>();
  readonly #holds: Holds;
  readonly #checkProject: (project: string) => unknown;
  readonly #onSettled: (operation: OperationRecord) => void;
  #stopping = false;

  constructor(dependencies: {
    records: Records;
    clock: Clock;
    log: Log;
    /** NOT_FOUND for a project that is none: one may be removed while a request for it looks around. */
    checkProject?: (project: string) => unknown;
    /** Told of each operation that is over or stuck. */
    onSettled?: (operation: OperationRecord) => void;
  }) {
    this.#records = dependencies.records;
    this.#operations = this.#records.collection("operations");
    this.#holds = new Holds((id) => this.#operations.get(id));
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
    this.#checkProject = dependencies.checkProject ?? (() => {});
    this.#onSettled = dependencies.onSettled ?? (() => {});
  }

  register<Plan>(procedure: Procedure<Plan>): void {
    this.#procedures.set(procedure.kind, procedure);
  }

  /** Goes on with everything that the last run of the process left unfinished. Call once, after all procedures are registered. */
  resume(): void {
    for (const operation of this.#operations.values()) {
      if (isOver(operation.state)) continue;
      this.#holds.take(operation);
      if (operation.state === "stuck") continue;
      this.#log.info({ operation: operation.id, kind: operation.kind, state: operation.state }, "operation resumed");
      this.#launch(operation.id);
    }
  }

  /**
   * Begins an operation; resolves with its record once that is durable. BUSY when another one holds what it needs; NOT_FOUND for
   * its project. A
   * request that looks at records is given as a function: it is asked once more when others had to give way.
   */
  async begin<Plan extends object>(
    kind: OperationKind,
    asked: OperationRequest<Plan> | (() => OperationRequest<Plan>),
  ): Promise<OperationRecord> {
    const ask = typeof asked === "function" ? asked : () => asked;
    let request = ask();
    for (let cleared = this.#clearTheWay(request.holds); cleared; cleared = this.#clearTheWay(request.holds)) {
      await cleared;
      request = ask();
    }
    const procedure = this.#procedure(kind);
    this.#checkProject(request.project);
    for (const thing of request.holds) this.#holds.refuse(thing);
    for (const thing of request.uses ?? []) this.#holds.refuseHeld(thing);
    const operation: OperationRecord = {
      id: newId("op"),
      kind,
      project: request.project,
      requestedBy: request.requestedBy,
      summary: request.summary,
      plan: request.plan as Record<string, unknown>,
      holds: request.holds,
      ...(request.uses ? { uses: request.uses } : {}),
      ...(request.yields ? { yields: true } : {}),
      state: "running",
      cancelRequested: false,
      steps: procedure.steps(request.plan).map((step) => ({ name: step.name, state: "pending", attempts: 0 })),
      createdAt: this.#clock.now(),
    };
    this.#holds.take(operation);
    try {
      await this.#commit(operation, request.changes);
    } catch (error) {
      this.#holds.release(operation);
      throw error;
    }
    this.#log.info({ operation: operation.id, kind, requestedBy: operation.requestedBy }, "operation began");
    this.#launch(operation.id);
    return operation;
  }

  /** Ends what gives way to others at these things, and waits until it has. */
  #clearTheWay(things: string[]): Promise<unknown> | undefined {
    if (this.#stopping) throw new ApplianceError("UNAVAILABLE", "the appliance is stopping");
    const yielding = things.flatMap((thing) => this.#holds.yielding(thing));
    if (yielding.length === 0) return undefined;
    return Promise.all(
      yielding.map(async (id) => {
        await this.cancel(id);
        await this.settled(id);
      }),
    );
  }

  /** The record; NOT_FOUND otherwise. */
  get(id: string): OperationRecord {
    const operation = this.#operations.get(id);
    if (!operation) throw noSuchOperation(id);
    return operation;
  }

  /** All that are kept, newest first. */
  list(): OperationRecord[] {
    return [...this.#operations.values()].sort((a, b) => b.createdAt - a.createdAt);
  }

  progress(id: string): Progress | undefined {
    return this.#running.get(id)?.progress;
  }

  /** The outage that the operation waits out now. */
  waitingFor(id: string): RecordedError | undefined {
    return this.#running.get(id)?.waitingFor;
  }

  /** The id of the operation that holds this node, disk or image now. */
  holder(thing: string): string | undefined {
    return this.#holds.holder(thing);
  }

  /** BUSY naming the operation when this thing is held. For changes that are too short to be operations. */
  refuseHeld(thing: string): void {
    this.#holds.refuseHeld(thing);
  }

  /** Notes a download of this thing, until what is answered is called. BUSY when an operation holds it. */
  beginDownload(thing: string, name: string): () => void {
    this.#holds.refuseHeld(thing);
    return this.#holds.use(thing, { kind: "download", name });
  }

  /** Notes that a node's cabling is looked at, until what is answered is called. BUSY when an operation holds it, or that is done already. */
  beginCabling(node: string, name: string): () => void {
    this.#holds.refuse(node);
    return this.#holds.use(node, { kind: "cabling", name });
  }

  /** The operations and downloads that hold or use this thing, but for those that give way to others. */
  usersOf(thing: string): ReturnType<Holds["usersOf"]> {
    return this.#holds.usersOf(thing);
  }

  /** Resolves with the record when the operation is over or stuck. */
  async settled(id: string): Promise<OperationRecord> {
    await this.#running.get(id)?.ended;
    return this.get(id);
  }

  /**
   * Asks a running operation to stop and unwind; nothing to do when it is already unwinding or over. CONFLICT past the
   * point of no return, and when it is stuck.
   */
  async cancel(id: string): Promise<OperationRecord> {
    const operation = this.get(id);
    if (operation.state === "stuck") {
      throw new ApplianceError("CONFLICT", `operation ${id} is stuck: it can't go on, nor back`, {
        details: { field: "operation", value: id, remedy: `mend what it names, then ingot operation retry ${id}` },
      });
    }
    if (operation.state !== "running") return operation;
    if (!this.#canUnwind(operation)) {
      throw new ApplianceError("CONFLICT", `operation ${id} is past the point of no return and will finish`, {
        details: { field: "operation", value: id, remedy: "wait for it" },
      });
    }
    await this.#commit({ ...operation, cancelRequested: true });
    this.#running.get(id)?.abort.abort(new ApplianceError("CANCELLED", "cancelled"));
    return this.get(id);
  }

  /** Goes on with a stuck operation where it stuck, with `news` added to its plan. CONFLICT when it is not stuck. */
  async retry(id: string, news: Record<string, unknown> = {}): Promise<OperationRecord> {
    const operation = this.get(id);
    if (operation.state !== "stuck") {
      throw new ApplianceError("CONFLICT", `operation ${id} is ${operation.state}, not stuck`, {
        details: { field: "operation", value: id, remedy: "only stuck operations are retried; begin a new one" },
      });
    }
    const plan = { ...operation.plan, ...news };
    await this.#commit({ ...without(operation, "stuckWhile"), plan, state: operation.stuckWhile ?? "undoing" });
    this.#launch(id);
    return this.get(id);
  }

  /** Stops at once; the journal knows how to go on at the next start. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const running = [...this.#running.values()];
    for (const one of running) one.abort.abort(STOPPED);
    await Promise.all(running.map((one) => one.ended));
  }

  #launch(id: string): void {
    const abort = new AbortController();
    const running: Running = { abort, ended: Promise.resolve() };
    this.#running.set(id, running);
    running.ended = this.#keepDriving(id, running).finally(() => {
      if (this.#running.get(id) === running) this.#running.delete(id);
    });
  }

  /** Drives an operation to its end; while the store refuses to note its transitions, it waits and takes up where the records are. */
  async #keepDriving(id: string, running: Running): Promise<void> {
    while (!this.#stopping) {
      try {
        return await this.#drive(id, running);
      } catch (error) {
        if (this.#stopping) return;
        this.#log.error({ operation: id, err: error }, "operation interrupted, goes on soon");
        await this.#clock.sleep(STORE_PAUSE_MS).catch(() => {});
      }
    }
  }

  async #drive(id: string, running: Running): Promise<void> {
    const steps = this.#procedure(this.get(id).kind).steps(this.get(id).plan);
    if (this.get(id).state === "running" && (await this.#forward(id, steps, running))) return this.#end(id, "done");
    if (this.get(id).state === "undoing" && (await this.#unwind(id, steps, running))) return this.#end(id, "undone");
  }

  /** True when every step succeeded. */
  async #forward(id: string, steps: Step<unknown>[], running: Running): Promise<boolean> {
    for (const [index, step] of steps.entries()) {
      if (this.get(id).steps[index]?.state === "succeeded") continue;
      try {
        if (this.get(id).cancelRequested) throw new ApplianceError("CANCELLED", "cancelled");
        await this.#attempt(id, index, step, "run", running);
      } catch (error) {
        if (this.#stopping) throw STOPPED;
        const failure = describeError(error);
        const canUnwind = this.#canUnwind(this.get(id));
        this.#log.warn({ operation: id, step: step.name, code: failure.code, reason: failure.message }, "step failed");
        const operation = this.#withStep(id, index, { state: "failed", endedAt: this.#clock.now(), error: failure });
        await this.#commit({
          ...operation,
          error: failure,
          state: canUnwind ? "undoing" : "stuck",
          ...(canUnwind ? {} : { stuckWhile: "running" as const }),
        });
        if (!canUnwind) this.#onSettled(this.get(id));
        return false;
      }
    }
    return true;
  }

  /** True when every step that had begun is undone. */
  async #unwind(id: string, steps: Step<unknown>[], running: Running): Promise<boolean> {
    if (running.abort.signal.aborted) running.abort = new AbortController();
    for (let index = steps.length - 1; index >= 0; index--) {
      const step = steps[index] as Step<unknown>;
      const state = this.get(id).steps[index]?.state;
      if (state === "pending" || state === "undone") continue;
      try {
        await this.#attempt(id, index, step, "undo", running);
      } catch (error) {
        if (this.#stopping) throw STOPPED;
        const failure = describeError(error);
        this.#log.error({ operation: id, step: step.name, code: failure.code, reason: failure.message }, "undo failed");
        const operation = this.#withStep(id, index, { state: "failed", error: failure });
        await this.#commit({ ...operation, state: "stuck", stuckWhile: "undoing" });
        this.#onSettled(this.get(id));
        return false;
      }
    }
    return true;
  }

  /** One step forward or back, with its tries; journalled before and after. */
  async #attempt(
    id: string,
    index: number,
    step: Step<unknown>,
    verb: "run" | "undo",
    running: Running,
  ): Promise<void> {
    if (verb === "run") {
      await this.#commit(this.#withStep(id, index, { state: "started", startedAt: this.#clock.now() }));
    }
    try {
      // tries that met an outage are no verdict on the step
      let failures = 0;
      for (let attempt = 1; ; attempt++) {
        const outcome = await this.#tryOnce(id, index, step, verb, running, { attempt, failures });
        if (outcome === "done") return;
        if (outcome === "failed") failures += 1;
        await this.#clock.sleep(Math.min(FIRST_PAUSE_MS * 2 ** attempt, OUTAGE_PAUSE_MS), running.abort.signal);
      }
    } finally {
      delete running.waitingFor;
    }
  }

  /** `failed` and `outage`: it is to be tried again. */
  async #tryOnce(
    id: string,
    index: number,
    step: Step<unknown>,
    verb: "run" | "undo",
    running: Running,
    { attempt, failures }: { attempt: number; failures: number },
  ): Promise<"done" | "failed" | "outage"> {
    try {
      const result = (await this.#call(id, step, verb, running)) ?? {};
      const change: Partial<StepRecord> = {
        state: verb === "run" ? "succeeded" : "undone",
        endedAt: this.#clock.now(),
        attempts: attempt,
        ...(result.output ? { output: result.output } : {}),
      };
      await this.#commit(this.#withStep(id, index, change), result.changes);
      return "done";
    } catch (error) {
      const failure = toApplianceError(error);
      const isWaitedOut = failure.details.outage === true && (verb === "undo" || !this.#canUnwind(this.get(id)));
      const isEnough = failure.code === "TIMEOUT" || (failures + 1 >= TRIES && !isWaitedOut);
      if (!failure.retryable || isEnough || running.abort.signal.aborted) throw error;
      this.#log.info({ operation: id, step: step.name, attempt, reason: failure.message }, "step tried again");
      delete running.waitingFor;
      if (!isWaitedOut) return "failed";
      running.waitingFor = describeError(failure);
      return "outage";
    }
  }

  async #call(
    id: string,
    step: Step<unknown>,
    verb: "run" | "undo",
    running: Running,
  ): Promise<StepResult | undefined> {
    const operation = this.get(id);
    const seconds =
      typeof step.deadlineSeconds === "number" ? step.deadlineSeconds : step.deadlineSeconds(operation.plan);
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(tooLate(step.name, seconds)), seconds * 1000);
    const context: StepContext<unknown> = {
      operation: id,
      plan: operation.plan,
      output: (name) => this.get(id).steps.find((one) => one.name === name)?.output,
      progress: (done, total, unit, waitingFor) => {
        running.progress = { step: step.name, done, total, unit, ...(waitingFor === undefined ? {} : { waitingFor }) };
      },
      signal: AbortSignal.any([deadline.signal, running.abort.signal]),
    };
    try {
      // a step that ignores its signal must not hold the operation for ever
      const late = rejection(context.signal);
      const result = verb === "run" ? step.run(context) : step.undo?.(context);
      return (await Promise.race([result, late])) ?? undefined;
    } finally {
      clearTimeout(timer);
      delete running.progress;
    }
  }

  async #end(id: string, state: OperationState): Promise<void> {
    const operation = this.get(id);
    const procedure = this.#procedure(operation.kind);
    const changes = state === "undone" ? (procedure.undone?.(operation.plan) ?? []) : [];
    await this.#commit({ ...operation, state, endedAt: this.#clock.now() }, [...changes, ...this.#forgotten()]);
    this.#holds.release(operation);
    this.#log.info(
      { operation: id, kind: operation.kind, state, ms: this.#clock.now() - operation.createdAt },
      "operation ended",
    );
    this.#onSettled(this.get(id));
  }

  /** The changes that drop the oldest ended operations beyond those kept. */
  #forgotten(): Change[] {
    const all = [...this.#operations.values()];
    const ended = all.filter((one) => isOver(one.state));
    const lookers = all.filter((one) => !isOver(one.state) && this.#procedures.get(one.kind)?.looksBack);
    const lookedAt = Math.min(...lookers.map((one) => one.createdAt));
    return ended
      .sort((a, b) => a.createdAt - b.createdAt)
      .slice(0, Math.max(0, ended.length - KEPT))
      .filter((one) => one.createdAt < lookedAt)
      .map((one) => ({ collection: "operations", key: one.id, value: null }));
  }

  #canUnwind(operation: OperationRecord): boolean {
    const steps = this.#procedure(operation.kind).steps(operation.plan);
    // one that started may have passed the point although the journal does not say so
    return !steps.some((step, index) => step.pointOfNoReturn && operation.steps[index]?.state !== "pending");
  }

  #withStep(id: string, index: number, change: Partial<StepRecord>): OperationRecord {
    const operation = this.get(id);
    return { ...operation, steps: operation.steps.map((step, at) => (at === index ? { ...step, ...change } : step)) };
  }

  #commit(operation: OperationRecord, changes: Change[] = []): Promise<void> {
    return this.#records.commit([{ collection: "operations", key: operation.id, value: operation }, ...changes]);
  }

  // biome-ignore lint/suspicious/noExplicitAny: each procedure knows its own plan
  #procedure(kind: OperationKind): Procedure<any> {
    const procedure = this.#procedures.get(kind);
    if (!procedure) throw new ApplianceError("INTERNAL", `no procedure for ${kind}`);
    return procedure;
  }
}

const STOPPED = new ApplianceError("UNAVAILABLE", "the appliance is stopping");

function tooLate(step: string, seconds: number): ApplianceError {
  return new ApplianceError("TIMEOUT", `${step}: not done within ${seconds} s`, { details: { action: step } });
}

function rejection(signal: AbortSignal): Promise<never> {
  const late = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  late.catch(() => {});
  return late;
}

function describeError(error: unknown): RecordedError {
  const { code, message, details, retryable } = toApplianceError(error);
  return { code, message, details, retryable };
}

function without<T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> {
  const { [key]: _, ...rest } = value;
  return rest;
}

/** NOT_FOUND, in the words for an operation that is nowhere. */
export function noSuchOperation(id: string): ApplianceError {
  return new ApplianceError("NOT_FOUND", `there is no operation "${id}"`, {
    details: { field: "operation", value: id, remedy: "ingot operation list shows those that are kept" },
  });
}
