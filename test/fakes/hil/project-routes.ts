import { type Route, route } from "./route.ts";
import { blocked, duplicate, HilError, requireAdmin, requireProject } from "./world.ts";

/** Projects, and which nodes they have. */
export const projectRoutes: Route[] = [
  route("GET /projects", {}, ({ world, caller }) => {
    requireAdmin(caller);
    return [...world.projects].sort();
  }),
  route("PUT /project/:project", {}, ({ world, caller, path: [name = ""] }) => {
    requireAdmin(caller);
    if (world.projects.has(name)) duplicate(`Project ${name}`);
    world.projects.add(name);
  }),
  route("DELETE /project/:project", {}, ({ world, caller, path: [name = ""] }) => {
    requireAdmin(caller);
    world.project(name);
    if ([...world.nodes.values()].some((node) => node.project === name)) blocked("Project has nodes still");
    if ([...world.networks.values()].some((network) => network.owner === name)) blocked("Project still has networks");
    world.projects.delete(name);
  }),
  route("GET /project/:project/nodes", {}, ({ world, caller, path: [name = ""] }) => {
    requireProject(caller, world.project(name));
    return [...world.nodes.values()].filter((node) => node.project === name).map((node) => node.name);
  }),
  route("GET /project/:project/networks", {}, ({ world, caller, path: [name = ""] }) => {
    requireProject(caller, world.project(name));
    return [...world.networks.values()].filter((network) => network.access?.includes(name)).map(({ name }) => name);
  }),
  route("POST /project/:project/connect_node", { node: "string" }, ({ world, caller, path: [name = ""], args }) => {
    requireProject(caller, world.project(name));
    const node = world.node(args.node);
    if (node.project !== null) blocked("Node is already owned by a project.");
    node.project = name;
  }),
  route("POST /project/:project/detach_node", { node: "string" }, ({ world, caller, path: [name = ""], args }) => {
    requireProject(caller, world.project(name));
    const node = world.node(args.node);
    if (node.project !== name) throw new HilError("NotFoundError", "Node not in project");
    const nics = [...node.nics.values()];
    if (nics.some((nic) => nic.networks.size > 0)) blocked("Node attached to a network");
    if (nics.some((nic) => nic.action?.status === "PENDING")) blocked("Node has pending network actions");
    if (node.token !== undefined) blocked("Node's obm is enabled.");
    node.project = null;
  }),
];
