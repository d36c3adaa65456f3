import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import type { OperatorRequest } from "./operator-requests.ts";
import { ensureOff, powerOn, powerSeconds } from "./power-steps.ts";

export type PowerAction = "on" | "off" | "soft-off" | "reset";

type PowerPlan = { node: string; action: PowerAction };

/** One power action on a node, through its BMC. */
export async function powerNode(
  appliance: Appliance,
  request: { node: string; action: PowerAction },
  requestedBy: string,
): Promise<OperationRecord> {
  const node = appliance.nodes.get(request.node);
  return appliance.runner.begin<PowerPlan>("power", {
    summary: `power ${request.action} ${node.name}`,
    project: node.project,
    requestedBy,
    plan: { node: node.id, action: request.action },
    holds: [node.id],
  });
}

/** What the BMC says now. */
export async function powerStatus(appliance: Appliance, nameOrId: string): Promise<"on" | "off"> {
  const node = appliance.nodes.get(nameOrId);
  return appliance.powerOf(node).status(AbortSignal.timeout(appliance.config.operations.bmcSeconds * 1000));
}

/** An operator switched a node without a BMC as asked, and saw it done. CONFLICT when nothing was asked. */
export function confirmPower(appliance: Appliance, nameOrId: string): OperatorRequest {
  return appliance.operatorRequests.confirm(appliance.nodes.get(nameOrId).name);
}

export function powerProcedure(appliance: Appliance): Procedure<PowerPlan> {
  return {
    kind: "power",
    steps: () => [
      {
        name: "power",
        deadlineSeconds: (plan) => powerSeconds(appliance, appliance.nodes.get(plan.node)),
        run: async ({ plan, signal }) => {
          const node = appliance.nodes.get(plan.node);
          const power = appliance.powerOf(node);
          if (plan.action === "on") await powerOn(appliance, node, signal);
          else if (plan.action === "off") await ensureOff(appliance, node, {}, signal);
          else if (plan.action === "soft-off") await power.softOff(signal);
          else await power.reset(signal);
        },
      },
    ],
  };
}
