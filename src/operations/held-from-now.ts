import type { OperationRunner } from "./runner.ts";

/** From now on: what answers the ids of nodes, disks and images that an operation has held at any time since. */
export function heldFromNow(runner: Pick<OperationRunner, "list">): () => ReadonlySet<string> {
  const over = new Set(runner.list().flatMap(({ id, endedAt }) => (endedAt === undefined ? [] : [id])));
  return () => new Set(runner.list().flatMap(({ id, holds }) => (over.has(id) ? [] : holds)));
}
