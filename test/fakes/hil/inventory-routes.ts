import { type Route, route } from "./route.ts";
import { blocked, duplicate, HilError, missing, requireAdmin, requireProject, type Switch } from "./world.ts";

const SWITCHES = "http://schema.massopencloud.org/haas/v0/switches/";
const SWITCH_DRIVERS = {
  mock: { args: ["username", "hostname", "password"], port: /^(gi|te)\d+\/\d+(\/\d+)?$/ },
  dellnos9: { args: ["username", "hostname", "password", "interface_type"], port: /^\d+\/\d+(\/\d+)?$/ },
};

/** Nodes, their NICs and metadata. */
export const nodeRoutes: Route[] = [
  route("GET /nodes/:which", {}, ({ world, path: [which] }) =>
    [...world.nodes.values()].filter((node) => which !== "free" || node.project === null).map(({ name }) => name),
  ),
  route("GET /node/:node", {}, ({ world, caller, path: [name = ""] }) => {
    const node = world.node(name);
    if (node.project !== null) requireProject(caller, node.project);
    return {
      name,
      project: node.project,
      metadata: Object.fromEntries(node.metadata),
      nics: [...node.nics.values()].map(({ label, macaddr, networks, port }) => ({
        label,
        macaddr,
        networks: Object.fromEntries(networks),
        ...(caller.admin && port && { port: port.port, switch: port.switch }),
      })),
    };
  }),
  route("PUT /node/:node", { obmd: "object", metadata: "object?" }, ({ world, caller, path: [name = ""], args }) => {
    const { uri, admin_token } = args.obmd;
    if (!/^https?:\/\//.test(uri)) throw new HilError("ValidationError", "Request arguments are not valid");
    requireAdmin(caller);
    if (world.nodes.has(name)) duplicate(`Node ${name}`);
    const metadata = Object.entries(args.metadata ?? {}).map(([key, value]) => [key, JSON.stringify(value)] as const);
    world.nodes.set(name, {
      name,
      project: null,
      metadata: new Map(metadata),
      obmd: { uri, admin_token },
      nics: new Map(),
    });
  }),
  route("DELETE /node/:node", {}, ({ world, caller, path: [name = ""] }) => {
    requireAdmin(caller);
    const node = world.node(name);
    if (node.project !== null) blocked("Node is part of a project; remove from project before deleting");
    if (node.nics.size > 0) blocked("Node has nics; remove them before deleting.");
    if (node.metadata.size > 0) throw new Error("IntegrityError");
    world.nodes.delete(name);
  }),
  route("PUT /node/:node/nic/:nic", { macaddr: "string" }, ({ world, caller, path: [name = "", label = ""], args }) => {
    requireAdmin(caller);
    const node = world.node(name);
    if (node.nics.has(label)) duplicate(`Nic ${label} on Node ${name}`);
    node.nics.set(label, { label, macaddr: args.macaddr, networks: new Map() });
  }),
  route("DELETE /node/:node/nic/:nic", {}, ({ world, caller, path: [name = "", label = ""] }) => {
    requireAdmin(caller);
    const node = world.node(name);
    world.nic(node, label);
    if (node.project !== null) blocked("Nic is on a node that belongs to a project.");
    node.nics.delete(label);
  }),
  route("PUT /node/:node/metadata/:key", { value: "any" }, ({ world, caller, path: [name = "", key = ""], args }) => {
    requireAdmin(caller);
    world.node(name).metadata.set(key, JSON.stringify(args.value));
  }),
  route("DELETE /node/:node/metadata/:key", {}, ({ world, caller, path: [name = "", key = ""] }) => {
    requireAdmin(caller);
    if (!world.node(name).metadata.delete(key)) missing(`Metadata ${key} on Node ${name}`);
  }),
];

const port = (at: Switch, name: string) => (at.ports.has(name) ? name : missing(`Port ${name} on ${at.name}`));

/** Switches, and what is cabled to their ports. A port's routes with more behind the name stand before those without. */
export const switchRoutes: Route[] = [
  route("GET /switches", {}, ({ world }) => [...world.switches.keys()]),
  route("GET /switch/:switch", {}, ({ world, caller, path: [name = ""] }) => {
    requireAdmin(caller);
    const { driver, ports } = world.switch(name);
    const capabilities = driver === "mock" ? ["nativeless-trunk-mode"] : [];
    return { name, capabilities, ports: [...ports].map((label) => ({ label })) };
  }),
  route(
    "PUT /switch/:switch",
    { type: "string" },
    ({ world, caller, path: [name = ""], args: { type, ...rest } }) => {
      requireAdmin(caller);
      const driver = type.slice(SWITCHES.length) as keyof typeof SWITCH_DRIVERS;
      const known = type.startsWith(SWITCHES) ? SWITCH_DRIVERS[driver] : undefined;
      if (!known) throw new HilError("BadArgumentError", `'${type}' is not a valid switch type.`);
      if (Object.keys(rest).sort().join() !== [...known.args].sort().join())
        throw new HilError("BadArgumentError", "The arguments are not valid for this switch type");
      if (world.switches.has(name)) duplicate(`Switch ${name}`);
      world.switches.set(name, { name, driver, hostname: rest.hostname, ports: new Set() });
    },
    { open: true },
  ),
  route("DELETE /switch/:switch", {}, ({ world, caller, path: [name = ""] }) => {
    requireAdmin(caller);
    if (world.switch(name).ports.size > 0) blocked("Switch has ports; delete them first.");
    world.switches.delete(name);
  }),
  route(
    "POST /switch/:switch/port/*port/connect_nic",
    { node: "string", nic: "string" },
    ({ world, caller, path: [name = "", label = ""], args }) => {
      requireAdmin(caller);
      port(world.switch(name), label);
      const nic = world.nic(world.node(args.node), args.nic);
      if (nic.port || world.nicAt(name, label)) duplicate(args.nic);
      nic.port = { switch: name, port: label };
    },
  ),
  route("POST /switch/:switch/port/*port/detach_nic", {}, ({ world, caller, path: [name = "", label = ""] }) => {
    requireAdmin(caller);
    port(world.switch(name), label);
    const at = world.nicAt(name, label);
    if (!at) throw new HilError("NotFoundError", `${label} not attached`);
    if (at.node.project !== null) blocked("The port is attached to a node which is not free");
    delete at.nic.port;
  }),
  route("PUT /switch/:switch/port/*port", {}, ({ world, caller, path: [name = "", label = ""] }) => {
    requireAdmin(caller);
    const at = world.switch(name);
    if (!SWITCH_DRIVERS[at.driver].port.test(label)) throw new HilError("BadArgumentError", "Invalid port name.");
    if (at.ports.has(label)) duplicate(`Port ${label}`);
    at.ports.add(label);
  }),
  route("GET /switch/:switch/port/*port", {}, ({ world, caller, path: [name = "", label = ""] }) => {
    requireAdmin(caller);
    port(world.switch(name), label);
    const at = world.nicAt(name, label);
    return at ? { node: at.node.name, nic: at.nic.label, networks: Object.fromEntries(at.nic.networks) } : {};
  }),
  route("DELETE /switch/:switch/port/*port", {}, ({ world, caller, path: [name = "", label = ""] }) => {
    requireAdmin(caller);
    const at = world.switch(name);
    port(at, label);
    if (world.nicAt(name, label)) blocked("Port is attached to a nic; please detach it first.");
    at.ports.delete(label);
  }),
];
