import { ApplianceError } from "../errors.ts";
import { allocationOf } from "../nodes/allocation.ts";
import { isolatedName } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";
import { type NicNetwork, recordedNetworks } from "./compare-nodes.ts";
import { isolatedProject, networkSeconds } from "./isolation-steps.ts";
import { without } from "./node-drift.ts";
import type { Step } from "./operation.ts";
import { ensureOff, powerSeconds } from "./power-steps.ts";
import type { Repair } from "./repairs.ts";
import { isolatedProjects } from "./tenant-network.ts";

/** What is repaired at the isolator, or by a BMC. */
export type NodeRepair = { kind: Repair; id: string };

/** Whether a repair is of a node. */
export function isNodeRepair({ kind }: NodeRepair): boolean {
  return kind === "networks" || kind === "owner" || kind === "powered";
}

/** The steps that make the isolator have a node as the records do at that moment; or that cut the power of one that nobody has. */
export function nodeRepairSteps<Plan>(appliance: Appliance, { kind, id }: NodeRepair): Step<Plan>[] {
  const node = appliance.nodes.find(id);
  // it was removed meanwhile
  if (!node) return [];
  const allocation = () => allocationOf(appliance.records, id);
  const name = () => allocation()?.isolated.node ?? isolatedName(node);
  const wanted = () => recordedNetworks(appliance, id);
  const present = async (signal: AbortSignal): Promise<NicNetwork[]> =>
    (await appliance.isolator().node(name(), signal)).nics.flatMap(({ name: nic, networks }) =>
      networks.map((one) => ({ nic, ...one })),
    );
  const step = (verb: string, run: (signal: AbortSignal) => Promise<void>): Step<Plan> => ({
    name: `${node.name}: ${verb}`,
    deadlineSeconds: networkSeconds(appliance),
    run: ({ signal }) => run(signal),
  });

  const allocate = step("allocate", async (signal) => {
    const has = allocation()?.isolated;
    if (has) await appliance.isolator().allocate(has.node, has.project, signal);
  });
  const leave = step("leave-networks", async (signal) => {
    for (const one of without(await present(signal), wanted())) {
      await appliance.isolator().ensureDetached({ node: name(), ...one }, signal);
    }
  });
  const join = step("join-networks", async (signal) => {
    const missing = without(wanted(), await present(signal));
    for (const network of new Set(missing.map((one) => one.network))) await makeAgain(appliance, network, signal);
    for (const one of missing) {
      await appliance.isolator().ensureAttached({ node: name(), ...one }, signal);
    }
  });
  const free = step("free-node", async (signal) => {
    if (allocation()) return;
    const { project } = await appliance.isolator().node(name(), signal);
    if (project !== undefined) await appliance.isolator().free(name(), project, signal);
  });
  const off: Step<Plan> = {
    ...step("power-off", async (signal) => {
      if (bootEntryOf(appliance.records, id)) throw provisioned(node.name);
      await ensureOff(appliance, node, {}, signal);
    }),
    deadlineSeconds: powerSeconds(appliance, node),
  };

  if (kind === "networks") return [leave, join];
  if (kind === "owner") return [allocate, leave, join, free];
  return [off];
}

/** Has the isolator make a network that it is to have: its records may be lost, as with the database of a switch. */
async function makeAgain(appliance: Appliance, name: string, signal: AbortSignal): Promise<void> {
  const tenants = [...appliance.networks.all()].find(({ isolatedAs }) => isolatedAs === name);
  const found = tenants ?? appliance.config.networks.find((one) => (one.isolatedAs ?? one.name) === name);
  if (found?.vlan === undefined) return;
  const { vlan, project } = found;
  const owner = project === undefined ? {} : { project: isolatedProject(appliance, project) };
  await appliance.isolator().ensureNetwork({ name, vlan, ...owner }, signal);
  if (!tenants?.sharedWith?.length) return;
  const projects = isolatedProjects(appliance, tenants.project, tenants.sharedWith);
  await appliance.isolator().ensureAccess(name, projects, signal);
}

function provisioned(name: string): ApplianceError {
  return new ApplianceError("IN_USE", `node ${name} is provisioned by now`, {
    details: { field: "node", value: name, remedy: "compare again: ingot reconcile" },
  });
}
