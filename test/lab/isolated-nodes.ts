import { runOnNode } from "./node-shell.ts";
import type { Rack, RackNode } from "./rack.ts";
import { type Place, reachTable, whatReaches } from "./reach.ts";
import { BMC_NETWORK } from "./switched-network.ts";

const NIC = "eth0";
const PATIENCE_MS = 60_000;

type Reach = {
  table: string;
  /** What each node reached. */
  reached: Record<string, string[]>;
  /** Whether that is what it shall, and nothing else. */
  isTight: boolean;
};

/** Has every node, all of them booted, try to reach whatever there is in its own project's network and beyond. */
export async function lookAtReach(rack: Rack, nodes: RackNode[]): Promise<Reach> {
  const places: (Place & { owner?: string })[] = [];
  const networks = new Map(nodes.map(({ network, project }) => [network, project as string]));
  for (const node of nodes) places.push({ name: node.name, address: await addressOf(node), owner: node.project! });
  [...networks.values()].forEach((owner, index) => {
    const [portal, server] = [rack.portals[index] as string, rack.addresses[index] as string];
    places.push({ name: `${owner}'s portal`, address: portal, port: 3260, owner });
    places.push({ name: `${owner}'s boot server`, address: server, port: 80, owner });
  });
  places.push({ name: "BMC", address: `${BMC_NETWORK}.1` });
  const rows = await Promise.all(
    nodes.map(async (node) => {
      const appliance = rack.addresses[[...networks.keys()].indexOf(node.network)] as string;
      const run = (command: string) => runOnNode(node, command, PATIENCE_MS);
      return { name: node.name, reached: await whatReaches(run, { interface: NIC, appliance, places }) };
    }),
  );
  const owners = new Map(nodes.map(({ name, project }) => [name, project]));
  const wanted = places.map(({ name, owner }) => ({
    name,
    isFor: (machine: string) => owner !== undefined && owner === owners.get(machine),
  }));
  const isTight = rows.every(({ name, reached }) =>
    wanted.every((place) => reached.includes(place.name) === place.isFor(name)),
  );
  return {
    table: reachTable(rows, wanted),
    reached: Object.fromEntries(rows.map(({ name, reached }) => [name, reached])),
    isTight,
  };
}

async function addressOf(node: RackNode): Promise<string> {
  const said = await runOnNode(node, `busybox ip -4 address show dev ${NIC}`, PATIENCE_MS);
  const address = /inet ([\d.]+)\//.exec(said)?.[1];
  if (!address) throw new Error(`${node.name} has no address on ${NIC}: ${said}`);
  return address;
}
