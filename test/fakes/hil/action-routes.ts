import { randomUUID } from "node:crypto";
import { Reply, type Route, route } from "./route.ts";
import {
  type Action,
  blocked,
  HilError,
  type Nic,
  type Node,
  requireAdmin,
  requireProject,
  type World,
} from "./world.ts";

/** What changes a port: noted here, done later by the networking daemon. */
export const actionRoutes: Route[] = [
  route(
    "POST /node/:node/nic/:nic/connect_network",
    { network: "string", channel: "string?" },
    ({ world, caller, path: [name = "", label = ""], args }) => {
      const node = world.node(name);
      const nic = world.nic(node, label);
      const network = world.network(args.network);
      const project = projectOf(node);
      requireProject(caller, project);
      nothingPending(nic);
      if (network.access !== null && !network.access.includes(project))
        throw new HilError("ProjectMismatchError", "Project does not have access to given network.");
      if ([...nic.networks.values()].includes(network.name)) blocked("The network is already attached to the nic.");
      const channel = args.channel ?? world.channels(network)[0];
      if (nic.networks.has(channel)) blocked("The channel is already in use on the nic.");
      if (!world.channels(network).includes(channel))
        throw new HilError("BadArgumentError", `Channel '${channel}', is not legal for this network.`);
      if (!nic.port) throw new HilError("NotFoundError", "No port is connected to given nic.");
      if (needsNative(world, nic) && channel !== "vlan/native" && !nic.networks.has("vlan/native"))
        blocked("Please attach a native network first");
      return begin(node, nic, { type: "modify_port", channel, new_network: network.name });
    },
  ),
  route(
    "POST /node/:node/nic/:nic/detach_network",
    { network: "string" },
    ({ world, caller, path: [name = "", label = ""], args }) => {
      const node = world.node(name);
      const nic = world.nic(node, label);
      const network = world.network(args.network);
      requireProject(caller, projectOf(node));
      nothingPending(nic);
      const channel = [...nic.networks].find(([, on]) => on === network.name)?.[0];
      if (channel === undefined) throw new HilError("BadArgumentError", "The network is not attached to the nic.");
      if (needsNative(world, nic) && channel === "vlan/native" && nic.networks.size > 1)
        blocked("Please remove all tagged networks before removing the native network");
      return begin(node, nic, { type: "modify_port", channel, new_network: null });
    },
  ),
  route("POST /switch/:switch/port/*port/revert", {}, ({ world, caller, path: [name = "", port = ""] }) => {
    requireAdmin(caller);
    world.switch(name);
    const at = world.nicAt(name, port);
    if (!at) throw new HilError("NotFoundError", `${port} not attached`);
    nothingPending(at.nic);
    const { json } = begin(at.node, at.nic, { type: "revert_port", channel: "", new_network: null });
    return json;
  }),
  route("GET /networking_action/:id", {}, ({ world, caller, path: [id] }) => {
    const at = [...world.nics()].find(({ nic }) => nic.action?.id === id);
    if (!at?.nic.action) throw new HilError("NotFoundError", "status_id not found");
    requireProject(caller, at.node.project);
    const { id: _id, order: _order, ...shown } = at.nic.action;
    return shown;
  }),
];

function projectOf(node: Node): string {
  if (node.project === null) throw new HilError("ProjectMismatchError", "Node not in project");
  return node.project;
}

function nothingPending(nic: Nic): void {
  if (nic.action?.status === "PENDING") blocked("A networking operation is already active on the nic.");
}

const needsNative = (world: World, nic: Nic) => world.switches.get(nic.port?.switch ?? "")?.driver === "dellnos9";

let last = 0;

function begin(node: Node, nic: Nic, what: Pick<Action, "type" | "channel" | "new_network">): Reply {
  nic.action = { id: randomUUID(), order: ++last, status: "PENDING", node: node.name, nic: nic.label, ...what };
  return new Reply(202, { json: { status_id: nic.action.id } });
}
