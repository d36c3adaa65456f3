import { armed } from "../boot/boot-entry.ts";
import type { Change } from "../store/records.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";
import { cutDeadSessions, sessionsOf } from "./dead-sessions.ts";
import type { OperationRecord, Procedure, Step } from "./operation.ts";
import type { OperatorRequest } from "./operator-requests.ts";
import { ensureOff, powerOn, powerSeconds, tellPower } from "./power-steps.ts";

export type PowerAction = "on" | "off" | "soft-off" | "reset";

/** What the power was before the action; unknown where nobody but an operator could tell. */
type Before = "on" | "off" | "unknown";

/** What was seen before the action: the power, and the sessions that a boot which begins now leaves dead. */
type Seen = { before: Before; dead: string[] };

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

/** Whether a power action boots a machine that was `before`: one that runs goes on when it is switched on. */
function beginsBoot(action: PowerAction, before: Before): boolean {
  return (action === "on" && before !== "on") || (action === "reset" && before !== "off");
}

/** A node that we boot ourselves gets its secret: its OS was ended by the same action. */
function armNode({ records }: Appliance, node: string): Change[] {
  const entry = bootEntryOf(records, node);
  return entry?.disarmedAt === undefined ? [] : [{ collection: "bootEntries", key: node, value: armed(entry) }];
}

/**
 * A power action; one that begins a boot arms the node and cuts what is left of its OS's sessions. Power and sessions are
 * looked at in a step of its own: after a crash in the middle, they would tell of the action itself.
 */
export function powerProcedure(appliance: Appliance): Procedure<PowerPlan> {
  const deadlineSeconds = (plan: PowerPlan) => powerSeconds(appliance, appliance.nodes.get(plan.node));
  const look: Step<PowerPlan> = {
    name: "look",
    deadlineSeconds,
    run: async ({ plan, signal }) => {
      const node = appliance.nodes.get(plan.node);
      const before = node.power.driver === "manual" ? "unknown" : await appliance.powerOf(node).status(signal);
      // where nobody can tell what the power was, its OS may live, and what it has is not ours to cut
      const ends = before !== "unknown" && beginsBoot(plan.action, before);
      const entry = ends ? bootEntryOf(appliance.records, plan.node) : undefined;
      return { output: { before, dead: entry ? await sessionsOf(appliance, entry) : [] } };
    },
  };
  const act: Step<PowerPlan> = {
    name: "power",
    deadlineSeconds,
    run: async ({ plan, output, signal, progress }) => {
      const node = appliance.nodes.get(plan.node);
      const power = appliance.powerOf(node);
      const { before, dead } = output("look") as Seen;
      if (plan.action === "on") await powerOn(appliance, node, signal);
      else if (plan.action === "off") await ensureOff(appliance, node, {}, signal, progress);
      else if (plan.action === "soft-off") await power.softOff(signal);
      else {
        // a boot through us, as after power-on
        if (before !== "off") tellPower(appliance, node, "power-on");
        await power.reset(signal);
      }
      if (!beginsBoot(plan.action, before)) return;
      const entry = bootEntryOf(appliance.records, plan.node);
      if (entry) await cutDeadSessions(appliance, entry, dead);
      return { changes: armNode(appliance, plan.node) };
    },
  };
  return { kind: "power", steps: () => [look, act] };
}
