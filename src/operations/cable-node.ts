import { ApplianceError } from "../errors.ts";
import { allocationOf } from "../nodes/allocation.ts";
import { isolatedName, type NodeRecord } from "../nodes/node.ts";
import type { NewNode } from "../nodes/node-registry.ts";
import type { Mac } from "../values/mac.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";

/** How the isolator calls a node and its NICs; what is left out stays, null takes it away. */
export type Cabling = {
  isolatedAs?: string | null;
  ports?: { mac: Mac; port: string | null }[];
};

/**
 * Registers a node. As `NodeRegistry.add`, and as `cableNode` for one that is cabled: it is not registered then.
 */
export async function addNode(appliance: Appliance, request: NewNode, requestedBy: string): Promise<NodeRecord> {
  const node = await appliance.nodes.add(request, requestedBy);
  const end = appliance.runner.beginCabling(node.id, node.name);
  try {
    await settleCabling(appliance, node);
  } catch (error) {
    await appliance.nodes.remove(node.id);
    throw error;
  } finally {
    end();
  }
  return node;
}

/**
 * Says where a node is cabled to. NOT_FOUND for a NIC that it does not have, or that the isolator does not know; IN_USE while
 * the isolator has it for a project; EXISTS for a port of another NIC; CONFLICT for a port that the isolator knows by
 * another MAC; BUSY; and as `NetworkIsolator`. What was known before stays then.
 */
export async function cableNode(appliance: Appliance, nameOrId: string, cabling: Cabling): Promise<NodeRecord> {
  const before = appliance.nodes.get(nameOrId);
  appliance.runner.refuseHeld(before.id);
  if (allocationOf(appliance.records, before.id)) {
    throw new ApplianceError(
      "IN_USE",
      `node ${before.name} is provisioned: its networks are set up as it is cabled now`,
      {
        details: { field: "node", value: before.name, remedy: `ingot deprovision ${before.name} first` },
      },
    );
  }
  // nobody is to provision it by ports that may be taken back
  const end = appliance.runner.beginCabling(before.id, before.name);
  try {
    const node = await appliance.nodes.change(before.id, (found) => cabled(found, cabling));
    await settleCabling(appliance, node).catch(async (error) => {
      await appliance.nodes.change(before.id, (found) => ({
        ...withoutName(found),
        ...nameOf(before),
        nics: before.nics,
      }));
      throw error;
    });
    return node;
  } finally {
    end();
  }
}

function cabled(node: NodeRecord, { isolatedAs, ports = [] }: Cabling): NodeRecord {
  const nics = [...node.nics];
  for (const { mac, port } of ports) {
    const at = nics.findIndex((nic) => nic.mac === mac);
    const nic = nics[at];
    if (!nic) {
      throw new ApplianceError("NOT_FOUND", `node ${node.name} has no NIC ${mac}`, {
        details: { field: "port", value: mac, remedy: `ingot node show ${node.name} lists its NICs` },
      });
    }
    const { port: _, ...without } = nic;
    nics[at] = port === null ? without : { ...without, port };
  }
  const name = isolatedAs === undefined ? nameOf(node) : isolatedAs === null ? {} : { isolatedAs };
  return { ...withoutName(node), ...name, nics };
}

function nameOf({ isolatedAs }: NodeRecord): { isolatedAs?: string } {
  return isolatedAs === undefined ? {} : { isolatedAs };
}

function withoutName({ isolatedAs: _, ...node }: NodeRecord): NodeRecord {
  return node;
}

/**
 * Sees that the isolator knows these NICs, and that they reach nobody while nobody has the node. One that has booted since before
 * nodes were isolated keeps what it reaches its disk by.
 */
async function settleCabling(appliance: Appliance, node: NodeRecord): Promise<void> {
  const cabled = node.nics.filter(({ port }) => port !== undefined);
  const { driver, changeSeconds } = appliance.config.isolation;
  if (driver === "none" || cabled.length === 0) return;
  const signal = AbortSignal.timeout(changeSeconds * 1000);
  const [isolator, name] = [appliance.isolator(), isolatedName(node)];
  const known = await isolator.node(name, signal);
  for (const { mac, port } of cabled) {
    const nic = known.nics.find((one) => one.name === port);
    if (!nic) {
      throw new ApplianceError("NOT_FOUND", `${driver} knows no NIC ${port} of node ${name}`, {
        details: {
          field: "port",
          value: port,
          remedy: `NICs that it has: ${known.nics.map((one) => one.name).join(", ")}`,
        },
      });
    }
    if (nic.mac !== undefined && nic.mac !== mac) {
      throw new ApplianceError("CONFLICT", `${driver} knows ${port} of node ${name} as ${nic.mac}, not as ${mac}`, {
        details: { field: "port", value: port, remedy: `look at the cable; correct it here, or in ${driver}` },
      });
    }
  }
  if (known.project === undefined && !bootEntryOf(appliance.records, node.id))
    await isolator.free(name, appliance.id, signal);
}
