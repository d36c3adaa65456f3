import type { Clock } from "../clock.ts";
import type { OperationRecord } from "./operation.ts";
import type { OperationRunner } from "./runner.ts";

/** The operation once it is over or stuck, or as it stands after `seconds`, or when the signal says that nobody waits any more. NOT_FOUND. */
export async function settledWithin(
  runner: OperationRunner,
  clock: Clock,
  id: string,
  seconds: number,
  signal: AbortSignal,
): Promise<OperationRecord> {
  const operation = runner.get(id);
  if (seconds === 0) return operation;
  const over = new AbortController();
  const patience = clock.sleep(seconds * 1000, AbortSignal.any([signal, over.signal])).catch(() => {});
  await Promise.race([runner.settled(id), patience]);
  over.abort();
  return runner.get(id);
}
