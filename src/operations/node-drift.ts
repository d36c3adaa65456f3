import type { Appliance } from "./appliance.ts";
import { compareNodes, isAnswer, type NicNetwork, type NodeStanding } from "./compare-nodes.ts";
import type { Drift } from "./drift.ts";
import { repairBy } from "./repairs.ts";

/** Where records, isolator and BMCs disagree about nodes at rest. */
export async function ofNodes(appliance: Appliance, signal: AbortSignal): Promise<Drift[]> {
  const standings = await compareNodes(appliance, signal);
  const drifts = standings.flatMap((one) => disagreements(appliance, one));
  // an isolator that is down says so once
  const seen = new Set<string>();
  return drifts.filter(({ id, kind }) => !seen.has(`${kind} ${id}`) && seen.add(`${kind} ${id}`));
}

/** Where those who were asked of a node disagree; nowhere while an operation is at it. */
export function disagreements(appliance: Appliance, standing: NodeStanding): Drift[] {
  const { node, busy, isolator, owner, networks, power } = standing;
  if (busy) return [];
  const { driver } = appliance.config.isolation;
  const about = { id: node.id, subject: `node ${node.name}` };
  const drifts: Drift[] = [];
  if (power !== undefined && !isAnswer(power)) drifts.push(unanswered(node.id, about.subject, power.trouble));
  if (isolator === undefined) return drifts;
  if (!isAnswer(isolator)) {
    const isOfNode = isolator.trouble.code === "NOT_FOUND";
    drifts.push(
      unanswered(isOfNode ? node.id : driver, isOfNode ? about.subject : `isolator ${driver}`, isolator.trouble),
    );
    return drifts;
  }
  const isOurs = owner !== undefined || driver === "ovs" || isInOurs(appliance, isolator.networks);
  if (standing.entry && owner === undefined) {
    const message = "boots, and was provisioned while nodes were not isolated";
    const remedy = `ingot deprovision ${node.name}: from its next provision on it is isolated`;
    drifts.push({ ...about, kind: "unisolated", message, remedy });
    return drifts;
  }
  // who uses a node of HIL without us is nobody's drift
  if (!isOurs) return drifts;
  const seen = { ...about, ...(isolator.owner === undefined ? {} : { owner: isolator.owner }) };
  if (isolator.owner !== owner) {
    const message = `${driver} has it for ${isolator.owner ?? "nobody"}; by the records, ${owner ?? "nobody"} has it`;
    drifts.push({ ...seen, kind: "owner", message, remedy: repairBy("owner", "has it as the records say") });
  }
  const [more, less] = [without(isolator.networks, networks), without(networks, isolator.networks)];
  if (more.length + less.length > 0) {
    const message = [more.length > 0 && `is in ${list(more)}`, less.length > 0 && `is not in ${list(less)}`]
      .filter(Boolean)
      .join(", and ");
    drifts.push({
      ...seen,
      kind: "networks",
      message,
      remedy: repairBy("networks", "has its NICs as the records say"),
    });
  }
  if (owner === undefined && isolator.owner === undefined && power === "on") {
    const message = "is on, and nobody has it";
    drifts.push({ ...about, kind: "powered", message, remedy: repairBy("powered", "cuts its power") });
  }
  return drifts;
}

function unanswered(
  id: string,
  subject: string,
  { message, details }: { message: string; details: { remedy?: string } },
): Drift {
  const remedy = details.remedy ?? "ingot doctor looks closer";
  return { kind: "unanswered", id, subject, message: `could not be compared: ${message}`, remedy };
}

function isInOurs({ config }: Appliance, networks: NicNetwork[]): boolean {
  const ours = new Set(config.networks.map(({ name, isolatedAs }) => isolatedAs ?? name));
  return networks.some(({ network }) => ours.has(network));
}

/** Those of `these` that are not among `others`. */
export function without(these: NicNetwork[], others: NicNetwork[]): NicNetwork[] {
  const isSame = (one: NicNetwork, other: NicNetwork) =>
    one.nic === other.nic && one.network === other.network && one.channel === other.channel;
  return these.filter((one) => !others.some((other) => isSame(one, other)));
}

function list(networks: NicNetwork[]): string {
  return networks
    .map(({ nic, network, channel }) => `${network} at ${nic}${channel === "tagged" ? " (tagged)" : ""}`)
    .join(", ");
}
