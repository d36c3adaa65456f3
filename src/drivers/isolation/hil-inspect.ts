import { type ApplianceError, isApplianceError } from "../../errors.ts";
import type { HilClient } from "./hil-client.ts";
import { HilNames, HilNetwork, vlanOf } from "./hil-views.ts";
import type { InUse, Remark } from "./network-isolator.ts";

/** Whether HIL knows its user, these projects, and the networks that it is to have already. */
export async function inspectHil(client: HilClient, { networks, projects }: InUse, signal: AbortSignal) {
  const action = "list HIL's free nodes";
  const free = await client.get(["nodes", "free"], HilNames, action, signal);
  const answers: Remark = {
    subject: client.url,
    message: `answers, and knows its user; ${free.length} nodes are free`,
  };
  const asked = [
    ...projects.map((project) => inspectProject(client, project, signal)),
    ...networks.map((network) => inspectNetwork(client, network, signal)),
  ];
  return [answers, ...(await Promise.all(asked))];
}

async function inspectProject(client: HilClient, project: string, signal: AbortSignal): Promise<Remark> {
  const subject = `project ${project}`;
  try {
    const nodes = await client.get(["project", project, "nodes"], HilNames, `list the nodes of ${project}`, signal);
    return { subject, message: `has ${nodes.length} nodes` };
  } catch (error) {
    const remedy = `create it in HIL, or say what HIL calls it: isolation.projects`;
    return { subject, message: refused(error, "HIL knows no such project").message, remedy: remedyOf(error) ?? remedy };
  }
}

async function inspectNetwork(
  client: HilClient,
  wanted: InUse["networks"][number],
  signal: AbortSignal,
): Promise<Remark> {
  const { name, vlan } = wanted;
  const subject = `network ${name}`;
  try {
    const there = vlanOf(await client.get(["network", name], HilNetwork, `read network ${name}`, signal));
    if (vlan === undefined || there === vlan) return { subject, message: `is there${there ? `, VLAN ${there}` : ""}` };
    const remedy = "make networks[].vlan that VLAN, or networks[].isolatedAs another network of HIL";
    return { subject, message: `is VLAN ${there ?? "none"} in HIL, not ${vlan}`, remedy };
  } catch (error) {
    const isNone = isApplianceError(error, "NOT_FOUND");
    if (isNone && vlan !== undefined) return { subject, message: "is made when a node is first provisioned on it" };
    const remedy = "create it in HIL, say what HIL calls it (networks[].isolatedAs), or its VLAN (networks[].vlan)";
    return { subject, message: refused(error, "HIL knows no such network").message, remedy: remedyOf(error) ?? remedy };
  }
}

/** What HIL's no means here; other failures are thrown. */
function refused(error: unknown, none: string): { message: string } {
  if (isApplianceError(error, "NOT_FOUND")) return { message: none };
  if (isApplianceError(error, "FORBIDDEN")) return error;
  throw error;
}

function remedyOf(error: unknown): string | undefined {
  return isApplianceError(error, "FORBIDDEN") ? (error as ApplianceError).details.remedy : undefined;
}
