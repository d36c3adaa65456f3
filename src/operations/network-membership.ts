import { ApplianceError } from "../errors.ts";
import { MEMBERSHIPS, type MembershipRecord, membershipKey, type NetworkRecord } from "../networks/network.ts";
import { type AllocationRecord, allocationOf } from "../nodes/allocation.ts";
import type { Nic, NodeRecord } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import { askIsolator, networkSeconds } from "./isolation-steps.ts";
import type { OperationRecord, Procedure, Step, StepContext } from "./operation.ts";

/** A NIC, by MAC or by what the isolator calls it, and the network that it shall be in, by the name that its node's project uses. */
export type Joining = { nic: string; network: string; channel: "native" | "tagged" };

type MembershipPlan = { membership: MembershipRecord };

/**
 * Puts a NIC of a provisioned node into a network. NOT_FOUND for a node, NIC or network that the project has not; CONFLICT for a node
 * that is not provisioned behind an isolator, and for a NIC that is in another network untagged; EXISTS where it is in; BUSY.
 */
export async function attachNetwork(
  appliance: Appliance,
  { node: nameOrId, ...joining }: Joining & { node: string },
  requestedBy: string,
): Promise<OperationRecord> {
  const node = appliance.nodes.get(nameOrId);
  appliance.runner.refuseHeld(node.id);
  const allocation = allocationOf(appliance.records, node.id);
  if (!allocation) {
    throw new ApplianceError(
      "CONFLICT",
      `node ${node.name} is in no network's reach: it is not provisioned behind an isolator`,
      {
        details: {
          field: "node",
          value: node.name,
          remedy: `ingot provision ${node.name} …; --attach NIC=NETWORK does both`,
        },
      },
    );
  }
  const membership = newMembership(appliance, node, allocation, joining, appliance.networks.membershipsOf(node.id));
  return appliance.runner.begin<MembershipPlan>("attach-network", {
    summary: `attach ${membership.isolated.nic} of ${node.name} to network ${joining.network}`,
    project: node.project,
    requestedBy,
    plan: { membership },
    holds: [node.id],
    uses: [membership.network],
  });
}

/** Takes a NIC out of a network, by the name that its node's project uses. NOT_FOUND where it is not in; INVALID for a name of several; BUSY. */
export async function detachNetwork(
  appliance: Appliance,
  { node: nameOrId, nic, network: name }: { node: string; nic: string; network: string },
  requestedBy: string,
): Promise<OperationRecord> {
  const node = appliance.nodes.get(nameOrId);
  appliance.runner.refuseHeld(node.id);
  const { mac, port } = nicOf(node, nic);
  const { id } = appliance.networks.getUsable(node.project, name);
  const membership = appliance.networks.membershipsOf(node.id).find((one) => one.mac === mac && one.network === id);
  if (!membership) {
    throw new ApplianceError("NOT_FOUND", `NIC ${nic} of node ${node.name} is in no network "${name}"`, {
      details: { field: "network", value: name, remedy: `ingot node show ${node.name} lists what it is in` },
    });
  }
  return appliance.runner.begin<MembershipPlan>("detach-network", {
    summary: `detach ${port ?? mac} of ${node.name} from network ${name}`,
    project: node.project,
    requestedBy,
    plan: { membership },
    holds: [node.id],
    uses: [membership.network],
  });
}

export function attachNetworkProcedure(appliance: Appliance): Procedure<MembershipPlan> {
  return { kind: "attach-network", steps: () => [join(appliance, "attach-nic", ({ membership }) => [membership])] };
}

export function detachNetworkProcedure(appliance: Appliance): Procedure<MembershipPlan> {
  const { run, undo, ...step } = join<MembershipPlan>(appliance, "detach-nic", ({ membership }) => [membership]);
  return { kind: "detach-network", steps: () => [{ ...step, run: undo as typeof run, undo: run }] };
}

/** The step that puts NICs into networks; undone, they are out again. */
export function join<Plan>(
  appliance: Appliance,
  name: string,
  membershipsOf: (plan: Plan) => MembershipRecord[],
): Step<Plan> {
  const each = async (context: StepContext<Plan>, verb: "ensureAttached" | "ensureDetached") => {
    for (const { isolated, channel } of membershipsOf(context.plan)) {
      await askIsolator(appliance, context, (isolator, ...rest) => isolator[verb]({ ...isolated, channel }, ...rest));
    }
  };
  const changes = (plan: Plan, isIn: boolean) => ({
    changes: membershipsOf(plan).map((one) => ({
      collection: MEMBERSHIPS,
      key: membershipKey(one),
      value: isIn ? { ...one, since: appliance.clock.now() } : null,
    })),
  });
  return {
    name,
    deadlineSeconds: networkSeconds(appliance),
    run: async (context) => {
      await each(context, "ensureAttached");
      return changes(context.plan, true);
    },
    undo: async (context) => {
      await each(context, "ensureDetached");
      return changes(context.plan, false);
    },
  };
}

/** What a joining comes to, beside what the node's NICs are in already. */
export function newMembership(
  appliance: Pick<Appliance, "networks" | "clock">,
  node: NodeRecord,
  { isolated, boot }: Pick<AllocationRecord, "isolated" | "boot">,
  { nic: wanted, network: name, channel }: Joining,
  others: readonly MembershipRecord[],
): MembershipRecord {
  const network = usableNetwork(appliance, node, name);
  const { mac, port } = nicOf(node, wanted);
  if (port === undefined) {
    throw new ApplianceError("INVALID", `node ${node.name}: it is not known where NIC ${mac} is cabled to`, {
      details: {
        field: "nic",
        value: wanted,
        remedy: `have an operator say so: ingot node cable ${node.name} --port ${mac}=PORT`,
      },
    });
  }
  const own = others.filter((one) => one.mac === mac);
  if (own.some((one) => one.network === network.id)) {
    throw new ApplianceError("EXISTS", `NIC ${wanted} of node ${node.name} is in network ${name} already`, {
      details: { field: "network", value: name, remedy: "detach it first, to change its channel" },
    });
  }
  const isTaken = port === boot.nic || own.some((one) => one.channel === "native");
  if (channel === "native" && isTaken) {
    const what = port === boot.nic ? "boots from its provisioning network" : "is in another network";
    throw new ApplianceError("CONFLICT", `NIC ${wanted} of node ${node.name} ${what} untagged`, {
      details: { field: "channel", value: channel, remedy: "attach it tagged, or take another NIC" },
    });
  }
  return {
    ...{ node: node.id, network: network.id, mac, channel },
    isolated: { node: isolated.node, nic: port, network: network.isolatedAs },
    since: appliance.clock.now(),
  };
}

function usableNetwork({ networks }: Pick<Appliance, "networks">, node: NodeRecord, name: string): NetworkRecord {
  const network = networks.getUsable(node.project, name);
  if (network.ready) return network;
  throw new ApplianceError("CONFLICT", `network ${name} is not made yet`, {
    details: { field: "network", value: name, remedy: "wait for its operation: ingot operation list" },
  });
}

function nicOf(node: NodeRecord, wanted: string): Nic {
  const nic = node.nics.find(({ mac, port }) => mac === wanted.toLowerCase() || port === wanted);
  if (nic) return nic;
  throw new ApplianceError("NOT_FOUND", `node ${node.name} has no NIC ${wanted}`, {
    details: { field: "nic", value: wanted, remedy: `ingot node show ${node.name} lists its NICs` },
  });
}
