/** What HIL has in its database, and how its API speaks of what is not as it should be. */

export type Network = {
  name: string;
  /** A project, or `admin`. */
  owner: string;
  /** Projects that may use it; null: all. */
  access: string[] | null;
  id: string;
};

export type Action = {
  id: string;
  /** Counts up. */
  order: number;
  status: "PENDING" | "DONE" | "ERROR";
  node: string;
  nic: string;
  type: "modify_port" | "revert_port";
  channel: string;
  new_network: string | null;
};

export type Switch = { name: string; driver: "mock" | "dellnos9"; hostname: string; ports: Set<string> };
export type Nic = {
  label: string;
  macaddr: string;
  port?: { switch: string; port: string };
  /** By channel. */
  networks: Map<string, string>;
  /** The newest: the one before it is forgotten when another is accepted. */
  action?: Action;
};
export type Node = {
  name: string;
  project: string | null;
  metadata: Map<string, string>;
  obmd: { uri: string; admin_token: string };
  /** Of OBMd, while the OBM is enabled. */
  token?: string;
  nics: Map<string, Nic>;
};
export type User = { password: string; admin: boolean; projects: Set<string> };

export type Settings = {
  auth: "database" | "null";
  allocator: "vlan_pool" | "null";
  /** First and last VLAN of the pool. */
  pool: [first: number, last: number];
};

/** Who asks. */
export type Caller = { name: string; admin: boolean; projects: Set<string> };

/** One of HIL's own errors: `{"type", "msg"}`. */
export class HilError extends Error {
  readonly type: keyof typeof STATUS;
  constructor(type: keyof typeof STATUS, message: string) {
    super(message);
    this.type = type;
  }
  get status(): number {
    return STATUS[this.type];
  }
}
const STATUS = {
  ValidationError: 400,
  BadArgumentError: 400,
  AuthorizationError: 401,
  NotFoundError: 404,
  DuplicateError: 409,
  BlockedError: 409,
  ProjectMismatchError: 409,
  IllegalStateError: 409,
} as const;

export class World {
  readonly settings: Settings;
  readonly users = new Map<string, User>([["admin", { password: "secret", admin: true, projects: new Set() }]]);
  /** Of keystone, and whose they are. */
  readonly tokens = new Map<string, Caller>();
  readonly projects = new Set<string>();
  readonly nodes = new Map<string, Node>();
  readonly networks = new Map<string, Network>();
  readonly switches = new Map<string, Switch>();

  constructor(settings: Settings) {
    this.settings = settings;
  }

  node(name: string): Node {
    return this.nodes.get(name) ?? missing(`Node ${name}`);
  }
  nic(node: Node, label: string): Nic {
    return node.nics.get(label) ?? missing(`Nic ${label} on Node ${node.name}`);
  }
  network(name: string): Network {
    return this.networks.get(name) ?? missing(`Network ${name}`);
  }
  project(name: string): string {
    return this.projects.has(name) ? name : missing(`Project ${name}`);
  }
  switch(name: string): Switch {
    return this.switches.get(name) ?? missing(`Switch ${name}`);
  }

  /** All NICs, each with the node it is in. */
  *nics(): Generator<{ node: Node; nic: Nic }> {
    for (const node of this.nodes.values()) for (const nic of node.nics.values()) yield { node, nic };
  }
  nicAt(name: string, port: string): { node: Node; nic: Nic } | undefined {
    for (const at of this.nics()) if (at.nic.port?.switch === name && at.nic.port.port === port) return at;
    return undefined;
  }

  channels(network: Network): string[] {
    return this.settings.allocator === "null" ? ["null"] : ["vlan/native", `vlan/${network.id}`];
  }
}

export function missing(what: string): never {
  throw new HilError("NotFoundError", `${what} does not exist.`);
}
export function duplicate(what: string): never {
  throw new HilError("DuplicateError", `${what} already exists.`);
}
export function blocked(why: string): never {
  throw new HilError("BlockedError", why);
}
export function requireAdmin(caller: Caller): void {
  if (!caller.admin) throw new HilError("AuthorizationError", "This operation is administrator-only.");
}
export function requireProject(caller: Caller, project: string | null): void {
  if (caller.admin || (project !== null && caller.projects.has(project))) return;
  throw new HilError("AuthorizationError", "You do not have access to the required project.");
}
