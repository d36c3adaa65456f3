import { randomUUID } from "node:crypto";
import { type Route, route } from "./route.ts";
import {
  blocked,
  type Caller,
  duplicate,
  HilError,
  missing,
  type Network,
  requireAdmin,
  requireProject,
  type World,
} from "./world.ts";

/** Networks, and who may use them. */
export const networkRoutes: Route[] = [
  route("GET /networks", {}, ({ world, caller }) =>
    Object.fromEntries(
      [...world.networks.values()]
        .filter(({ access }) => caller.admin || access === null)
        .map(({ name, id, access }) => [name, { network_id: id, projects: access }]),
    ),
  ),
  route("GET /network/:network", {}, ({ world, caller, path: [name = ""] }) => {
    const network = world.network(name);
    const { owner, access } = network;
    if (!owns(caller, network) && access !== null && !access.some((project) => caller.projects.has(project)))
      throw new HilError("AuthorizationError", "You do not have access to this network.");
    const nodes: Record<string, string[]> = {};
    for (const { node, nic } of attached(world, name)) {
      if (!owns(caller, network) && !caller.projects.has(node.project ?? "")) continue;
      nodes[node.name] = [...(nodes[node.name] ?? []), nic.label];
    }
    return { name, owner, access, channels: world.channels(network), "connected-nodes": nodes };
  }),
  route("PUT /network/:network", { owner: "string", access: "string", net_id: "string" }, (asked) => {
    const { world, caller, args } = asked;
    const [name = ""] = asked.path;
    if (world.networks.has(name)) duplicate(`Network ${name}`);
    if (args.owner === "admin") requireAdmin(caller);
    else {
      requireProject(caller, world.project(args.owner));
      if (args.access !== args.owner) throw new HilError("BadArgumentError", "Must be accessible by the owner.");
      if (args.net_id !== "") throw new HilError("BadArgumentError", "Must use network ID allocation");
    }
    const access = args.access === "" ? null : [world.project(args.access)];
    world.networks.set(name, { name, owner: args.owner, access, id: allocate(world, args.net_id) });
  }),
  route("DELETE /network/:network", {}, ({ world, caller, path: [name = ""] }) => {
    const network = world.network(name);
    if (!owns(caller, network)) requireProject(caller, network.owner);
    if (attached(world, name).length > 0) blocked("Network still connected to nodes");
    const open = [...world.nics()].some(
      ({ nic: { action } }) => action?.new_network === name && action.status !== "DONE",
    );
    if (open) blocked("There are pending actions on this network");
    world.networks.delete(name);
  }),
  route("GET /network/:network/attachments", { project: "string?" }, ({ world, caller, path: [name = ""], args }) => {
    const network = world.network(name);
    const { project } = args;
    const own = project !== undefined && caller.projects.has(project) && network.access?.includes(project);
    if (!owns(caller, network) && !own) throw new HilError("AuthorizationError", "Requires access to the owner");
    const found = attached(world, name).filter(({ node }) => project === undefined || node.project === project);
    return Object.fromEntries(
      found.map(({ node, nic, channel }) => [node.name, { channel, nic: nic.label, project: node.project }]),
    );
  }),
  route("PUT /network/:network/access/:project", {}, ({ world, caller, path: [name = "", project = ""] }) => {
    const network = world.network(name);
    requireProject(caller, network.owner);
    if (network.access?.includes(world.project(project))) duplicate(`Network ${name} in project ${project}`);
    network.access = [...(network.access ?? []), project];
  }),
  route("DELETE /network/:network/access/:project", {}, ({ world, caller, path: [name = "", project = ""] }) => {
    const network = world.network(name);
    requireProject(caller, network.owner);
    if (!network.access?.includes(world.project(project))) missing(`Network ${name} in project ${project}`);
    if (network.owner === project) blocked("Project is owner of network and its access cannot be removed");
    network.access = network.access.filter((other) => other !== project);
  }),
];

const owns = (caller: Caller, { owner }: Network) => caller.admin || caller.projects.has(owner);

function attached(world: World, network: string) {
  return [...world.nics()].flatMap(({ node, nic }) =>
    [...nic.networks].filter(([, name]) => name === network).map(([channel]) => ({ node, nic, channel })),
  );
}

function allocate({ settings, networks }: World, wanted: string): string {
  if (settings.allocator === "null") return randomUUID();
  const [first, last] = settings.pool;
  if (wanted !== "") {
    const id = Number(wanted);
    if (!Number.isInteger(id) || id < 1 || id > 4094) throw new HilError("BadArgumentError", "Invalid net_id");
    if (id >= first && id <= last) blocked("Network ID is not available. Please choose a different ID.");
    return wanted;
  }
  const taken = new Set([...networks.values()].map(({ id }) => id));
  for (let id = first; id <= last; id++) if (!taken.has(String(id))) return String(id);
  throw new Error("AllocationError");
}
