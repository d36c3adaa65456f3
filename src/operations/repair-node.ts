import { ApplianceError } from "../errors.ts";
import { allocationOf } from "../nodes/allocation.ts";
import { isolatedName } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";
import { type NicNetwork, recordedNetworks } from "./compare-nodes.ts";
import { askIsolator, isolatedProject, networkSeconds } from "./isolation-steps.ts";
import { without } from "./node-drift.ts";
import type { Step, StepContext } from "./operation.ts";
import { ensureOff, powerSeconds } from "./power-steps.ts";
import type { Repair } from "./repairs.ts";
import { isolatedProjects } from "./tenant-network.ts";

/** What is repaired at the isolator, or by a BMC. `owner`: whom the isolator had the node for when that was shown. */
export type NodeRepair = { kind: Repair; id: string; owner?: string };

type Context = Pick<StepContext<unknown>, "signal" | "progress">;

/** Whether a repair is of a node. */
export function isNodeRepair({ kind }: Pick<NodeRepair, "kind">): boolean {
  return kind === "networks" || kind === "owner" || kind === "powered";
}

/**
 * The steps that make the isolator have a node as the records do at that moment; or that cut the power of one that nobody has.
 * A node that changed hands since it was shown is left to whoever has it.
 */
export function nodeRepairSteps<Plan>(appliance: Appliance, { kind, id, owner }: NodeRepair): Step<Plan>[] {
  const node = appliance.nodes.find(id);
  // it was removed meanwhile
  if (!node) return [];
  const allocation = () => allocationOf(appliance.records, id);
  const name = () => allocation()?.isolated.node ?? isolatedName(node);
  const wanted = () => recordedNetworks(appliance, id);
  const look = async (context: Context): Promise<{ project: string | undefined; networks: NicNetwork[] }> => {
    const { project, nics } = await askIsolator(appliance, context, (isolator, signal) =>
      isolator.node(name(), signal),
    );
    return { project, networks: nics.flatMap(({ name: nic, networks }) => networks.map((one) => ({ nic, ...one }))) };
  };
  const isOthers = (project: string | undefined) =>
    project !== undefined && project !== owner && project !== allocation()?.isolated.project;
  const step = (verb: string, run: (context: Context) => Promise<void>): Step<Plan> => ({
    name: `${node.name}: ${verb}`,
    deadlineSeconds: networkSeconds(appliance),
    run,
  });

  const allocate = step("allocate", async (context) => {
    const has = allocation()?.isolated;
    if (!has) return;
    await askIsolator(appliance, context, (isolator, ...rest) => isolator.allocate(has.node, has.project, ...rest));
  });
  const leave = step("leave-networks", async (context) => {
    const { project, networks } = await look(context);
    if (isOthers(project)) return;
    for (const one of without(networks, wanted())) {
      const attachment = { node: name(), ...one };
      await askIsolator(appliance, context, (isolator, ...rest) => isolator.ensureDetached(attachment, ...rest));
    }
  });
  const join = step("join-networks", async (context) => {
    const { project, networks } = await look(context);
    if (isOthers(project)) return;
    const missing = without(wanted(), networks);
    for (const network of new Set(missing.map((one) => one.network))) await makeAgain(appliance, network, context);
    for (const one of missing) {
      const attachment = { node: name(), ...one };
      await askIsolator(appliance, context, (isolator, ...rest) => isolator.ensureAttached(attachment, ...rest));
    }
  });
  const free = step("free-node", async (context) => {
    if (allocation()) return;
    const { project } = await look(context);
    if (project === undefined || isOthers(project)) return;
    await askIsolator(appliance, context, (isolator, ...rest) => isolator.free(name(), project, ...rest));
  });
  const off: Step<Plan> = {
    ...step("power-off", async (context) => {
      if (bootEntryOf(appliance.records, id)) throw provisioned(node.name);
      if (isOthers((await look(context)).project)) return;
      await ensureOff(appliance, node, {}, context.signal, context.progress);
    }),
    deadlineSeconds: powerSeconds(appliance, node),
  };

  if (kind === "networks") return [leave, join];
  if (kind === "owner") return [allocate, leave, join, free];
  return [off];
}

/** Has the isolator make a network that it is to have: its records may be lost, as with the database of a switch. */
async function makeAgain(appliance: Appliance, name: string, context: Context): Promise<void> {
  const tenants = [...appliance.networks.all()].find(({ isolatedAs }) => isolatedAs === name);
  const found = tenants ?? appliance.config.networks.find((one) => (one.isolatedAs ?? one.name) === name);
  if (found?.vlan === undefined) return;
  const { vlan, project } = found;
  const owner = project === undefined ? {} : { project: isolatedProject(appliance, project) };
  await askIsolator(appliance, context, (isolator, ...rest) =>
    isolator.ensureNetwork({ name, vlan, ...owner }, ...rest),
  );
  if (!tenants?.sharedWith?.length) return;
  const projects = isolatedProjects(appliance, tenants.project, tenants.sharedWith);
  await askIsolator(appliance, context, (isolator, ...rest) => isolator.ensureAccess(name, projects, ...rest));
}

function provisioned(name: string): ApplianceError {
  return new ApplianceError("IN_USE", `node ${name} is provisioned by now`, {
    details: { field: "node", value: name, remedy: "compare again: ingot reconcile" },
  });
}
