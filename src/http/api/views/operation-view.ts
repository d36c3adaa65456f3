import { z } from "@hono/zod-openapi";
import { ERROR_KINDS, type ErrorCode } from "../../../errors.ts";
import type { NodeRecord } from "../../../nodes/node.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import type { OperationRecord, RecordedError, StepRecord } from "../../../operations/operation.ts";
import type { OperatorRequest } from "../../../operations/operator-requests.ts";
import { moment, momentIfAny, momentSchema } from "./text.ts";

const failureSchema = z
  .object({
    code: z.enum(Object.keys(ERROR_KINDS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    remedy: z.string().optional(),
  })
  .openapi("Failure");

const stepSchema = z.object({
  name: z.string(),
  state: z.enum(["pending", "started", "succeeded", "failed", "undone"]),
  attempts: z.int(),
  startedAt: momentSchema.optional(),
  endedAt: momentSchema.optional(),
  output: z.record(z.string(), z.unknown()).optional().openapi({ description: "What the step found out" }),
  error: failureSchema.optional(),
});

/** What somebody shall do at a node without a BMC. */
export const operatorRequestSchema = z
  .object({ node: z.string(), action: z.string(), since: momentSchema })
  .openapi("OperatorRequest");

/** An operation as the API shows it: without its plan, which names inner things only. */
export const operationSchema = z
  .object({
    id: z.string(),
    kind: z.enum([
      "import",
      "provision",
      "deprovision",
      "snapshot",
      "revert",
      "flatten",
      "limit-disk",
      "create-disk",
      "remove-disk",
      "remove-image",
      "attach",
      "detach",
      "power",
      "adopt",
      "reconcile",
      "grow-pool",
      "copy-image",
      "import-rbd",
      "import-increment",
      "export-image",
      "create-network",
      "remove-network",
      "share-network",
      "attach-network",
      "detach-network",
      "close-project",
    ]),
    state: z.enum(["running", "undoing", "done", "undone", "stuck"]),
    summary: z.string(),
    project: z.string(),
    requestedBy: z.string(),
    stuckWhile: z.enum(["running", "undoing"]).optional(),
    cancelRequested: z.boolean(),
    steps: z.array(stepSchema),
    progress: z
      .object({
        step: z.string(),
        done: z.number(),
        total: z.number(),
        unit: z.enum(["bytes", "seconds", "things"]),
        waitingFor: z.string().optional(),
      })
      .optional()
      .openapi({ description: "Of the step that runs now" }),
    waitingFor: failureSchema.optional().openapi({ description: "An outage that it waits out, having no other way" }),
    operatorRequest: operatorRequestSchema
      .optional()
      .openapi({ description: "What it waits for somebody to do at a node without a BMC, and to confirm" }),
    error: failureSchema.optional(),
    createdAt: momentSchema,
    endedAt: momentSchema.optional(),
  })
  .openapi("Operation");

/** An operation as the API shows it: with its step's progress, and a bug's own words left out. */
export function viewOperation(appliance: Appliance, operation: OperationRecord): z.infer<typeof operationSchema> {
  const { id, kind, state, summary, project, requestedBy, stuckWhile, cancelRequested } = operation;
  return {
    id,
    kind,
    state,
    summary,
    project,
    requestedBy,
    stuckWhile,
    cancelRequested,
    steps: operation.steps.map(viewStep),
    progress: appliance.runner.progress(id),
    waitingFor: viewFailure(appliance.runner.waitingFor(id)),
    operatorRequest: findRequest(appliance, operation),
    error: viewFailure(operation.error),
    createdAt: moment(operation.createdAt),
    endedAt: momentIfAny(operation.endedAt),
  };
}

/** A request to the operator as the API shows it. */
export function viewOperatorRequest({ node, action, since }: OperatorRequest): z.infer<typeof operatorRequestSchema> {
  return { node, action, since: moment(since) };
}

/** Requests name nodes as people do, operations by id. */
function findRequest({ records, operatorRequests }: Appliance, { holds, state }: OperationRecord) {
  if (state !== "running" && state !== "undoing") return undefined;
  const nodes = records.collection<NodeRecord>("nodes");
  const request = operatorRequests.list().find(({ node }) => holds.some((id) => nodes.get(id)?.name === node));
  return request && viewOperatorRequest(request);
}

function viewStep({ name, state, attempts, startedAt, endedAt, output, error }: StepRecord) {
  return {
    name,
    state,
    attempts,
    startedAt: momentIfAny(startedAt),
    endedAt: momentIfAny(endedAt),
    output,
    error: viewFailure(error),
  };
}

function viewFailure(error: RecordedError | undefined): z.infer<typeof failureSchema> | undefined {
  if (!error) return undefined;
  // a bug's own words are for the log
  if (ERROR_KINDS[error.code] === "internal") {
    return { code: error.code, message: "the appliance made a mistake", remedy: "look for this operation in its log" };
  }
  return { code: error.code, message: error.message, remedy: error.details.remedy };
}
