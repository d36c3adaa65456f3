import type { NodeRecord } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord } from "./operation.ts";

export type RetryRequest = {
  operation: string;
  /** The caller has seen every node of the operation off: dead BMCs are not asked any more. */
  seenOff?: boolean;
};

/** Goes on with a stuck operation, once its cause is gone or an operator vouches for its nodes. NOT_FOUND; CONFLICT when it is not stuck. */
export async function retryOperation(
  appliance: Appliance,
  request: RetryRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const { id, holds } = appliance.runner.get(request.operation);
  if (!request.seenOff) return appliance.runner.retry(id);
  const nodes = appliance.records.collection<NodeRecord>("nodes");
  const seenOff = holds.filter((thing) => nodes.get(thing) !== undefined);
  const operation = await appliance.runner.retry(id, { seenOff });
  appliance.log.warn({ operation: id, nodes: seenOff, requestedBy }, "nodes seen off by an operator");
  return operation;
}
