import pLimit from "p-limit";
import { toApplianceError } from "../../errors.ts";
import { allocationOf } from "../../nodes/allocation.ts";
import type { NodeRecord } from "../../nodes/node.ts";
import type { Appliance } from "../appliance.ts";
import type { Check, Finding } from "./finding.ts";

/** Each question may be a process of its own. */
const AT_A_TIME = 32;
const BMC_MS = 8_000;
/** OBMd, behind HIL, may take that for one look. */
const HIL_MS = 16_000;

/** Whether the BMC of each node answers its account. */
export const bmcCheck: Check = {
  name: "bmcs",
  run: ({ appliance }, signal) => {
    const limit = pLimit(AT_A_TIME);
    const nodes = appliance.nodes.list().filter(({ power }) => power.driver !== "manual");
    return Promise.all(nodes.map((node) => limit(() => lookAt(appliance, node, signal))));
  },
};

async function lookAt(appliance: Appliance, node: NodeRecord, signal: AbortSignal): Promise<Finding> {
  const about = { check: "bmcs", subject: node.name };
  const alone = `too many BMCs are slow; ask it alone: ingot node power ${node.name}`;
  if (signal.aborted) return { ...about, state: "warning", message: "was not asked in time", remedy: alone };
  if (isHidden(appliance, node)) {
    return { ...about, state: "ok", message: "HIL opens the way to its BMC once it is provisioned" };
  }
  const patience = node.power.driver === "hil" ? HIL_MS : BMC_MS;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
  try {
    const power = await withDeadline(appliance.powerOf(node).status(deadline), deadline);
    return { ...about, state: "ok", message: `answers: power is ${power}` };
  } catch (error) {
    if (signal.aborted) return { ...about, state: "warning", message: "had no time to answer", remedy: alone };
    const { message, details } = toApplianceError(error);
    const remedy = details.remedy ?? "look at its cable, address, user and password file: ingot node show";
    return {
      ...about,
      state: "failed",
      message: deadline.aborted ? `no answer within ${patience / 1000} s` : message,
      remedy,
    };
  }
}

/** HIL shows the BMC of a node that nobody has to its admins alone, and has to be told to: that is no look that changes nothing. */
function isHidden({ config, records }: Appliance, { id, power }: NodeRecord): boolean {
  return power.driver === "hil" && config.isolation.driver === "hil" && !allocationOf(records, id);
}

/** Drivers obey the signal; the doctor does not rely on it. */
function withDeadline<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return Promise.race([answer, late]);
}
