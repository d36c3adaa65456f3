import type { PowerControl } from "../drivers/power/power-control.ts";
import { ApplianceError, isApplianceError } from "../errors.ts";
import type { NodeRecord } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import type { StepContext, StepResult } from "./operation.ts";

const LOOK_EVERY_MS = 1000;
/** A person answers for a node without a BMC: by tomorrow. */
const OPERATOR_SECONDS = 24 * 3600;

/** HIL does those of a whole rack one by one, some 10 s each. */
const HIL_SECONDS = 15 * 60;

/** How long one power action on this node may take. */
export function powerSeconds(appliance: Appliance, node: NodeRecord): number {
  if (node.power.driver === "hil") return Math.max(HIL_SECONDS, appliance.config.operations.bmcSeconds);
  return node.power.driver === "manual" ? OPERATOR_SECONDS : appliance.config.operations.bmcSeconds;
}

/**
 * Ids of nodes of which an operator says that they are off, seen with their own eyes: the way on where a BMC is dead.
 * Nothing else may stand in for a BMC's word, since two nodes on one disk destroy it.
 */
export type Vouched = { seenOff?: string[] };

/** Power off, and *seen* off: only then may disks and networks go. How long that takes is shown to `progress`. */
export async function ensureOff(
  appliance: Appliance,
  node: NodeRecord,
  plan: Vouched,
  signal: AbortSignal,
  progress: StepContext<unknown>["progress"] = () => {},
): Promise<void> {
  if (!isVouchedOff(node, plan)) {
    const power = appliance.powerOf(node);
    const tick = showWait(appliance, node, progress);
    try {
      if ((await power.status(signal)) !== "off") {
        await power.off(signal);
        await seenOff(appliance, power, signal);
      }
    } finally {
      clearInterval(tick);
    }
  }
  tellPower(appliance, node, "power-off");
}

/**
 * Sees that a node is off, and leaves it alone where it is on: CONFLICT, with `remedy`, for the disk that it uses. At one
 * without a BMC an operator says so.
 */
export async function requireOff(
  appliance: Appliance,
  node: NodeRecord,
  plan: Vouched,
  { disk, remedy }: { disk: string; remedy: string },
  signal: AbortSignal,
): Promise<void> {
  if (node.power.driver === "manual") return ensureOff(appliance, node, plan, signal);
  if (isVouchedOff(node, plan)) return;
  if ((await appliance.powerOf(node).status(signal)) === "on") {
    throw new ApplianceError("CONFLICT", `node ${node.name} is on and uses the disk`, {
      details: { field: "disk", value: disk, remedy },
    });
  }
}

/** Lets the timeline know of what happened to a node's power. Answers when. */
export function tellPower(appliance: Appliance, node: NodeRecord, stage: "power-on" | "power-off"): number {
  const at = appliance.clock.now();
  for (const nic of node.nics) if (nic.role === "boot") appliance.bootEvents({ mac: nic.mac, stage, at });
  return at;
}

/** Whether an operator has said that this node is off. */
export function isVouchedOff(node: NodeRecord, plan: Vouched): boolean {
  return plan.seenOff?.includes(node.id) ?? false;
}

/** A machine without a BMC is an operator's business: what they are asked for is shown already. */
function showWait(appliance: Appliance, node: NodeRecord, progress: StepContext<unknown>["progress"]) {
  if (node.power.driver === "manual") return undefined;
  const began = appliance.clock.now();
  const seconds = powerSeconds(appliance, node);
  const show = () => {
    const waited = Math.floor((appliance.clock.now() - began) / 1000);
    progress(waited, seconds, "seconds", `the BMC of ${node.name} to say that it is off`);
  };
  show();
  return setInterval(show, LOOK_EVERY_MS);
}

/** Resolves when the BMC says off. */
async function seenOff(appliance: Appliance, power: PowerControl, signal: AbortSignal): Promise<void> {
  while ((await power.status(signal)) !== "off") await appliance.clock.sleep(LOOK_EVERY_MS, signal);
}

/**
 * Asks the OS to shut down and waits until it did. Output `clean`: the OS went down in order. A node that is off
 * already, or whose OS does not answer, is not clean: nobody saw it sync. Nor is one whose BMC can't ask its OS.
 */
export async function softOff(
  appliance: Appliance,
  node: NodeRecord,
  context: StepContext<Vouched>,
): Promise<StepResult> {
  if (node.power.driver === "manual" || isVouchedOff(node, context.plan)) return { output: { clean: false } };
  const power = appliance.powerOf(node);
  if ((await power.status(context.signal)) === "off") return { output: { clean: false } };
  const seconds = appliance.config.operations.softOffSeconds;
  const began = appliance.clock.now();
  try {
    await power.softOff(context.signal);
  } catch (error) {
    if (!isApplianceError(error, "UNSUPPORTED")) throw error;
    return { output: { clean: false } };
  }
  for (;;) {
    if ((await power.status(context.signal)) === "off") return { output: { clean: true } };
    const waited = (appliance.clock.now() - began) / 1000;
    if (waited > seconds) return { output: { clean: false } };
    context.progress(Math.round(waited), seconds, "seconds");
    await appliance.clock.sleep(LOOK_EVERY_MS, context.signal);
  }
}

/** Powers on, and tells the timeline. Answers when. */
export async function powerOn(appliance: Appliance, node: NodeRecord, signal: AbortSignal): Promise<number> {
  const at = tellPower(appliance, node, "power-on");
  await appliance.powerOf(node).on(signal);
  return at;
}
