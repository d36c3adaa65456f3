import { ApplianceError, type ErrorCode, type ErrorDetails } from "../../errors.ts";
import { abortedError, driverFailed } from "../failure.ts";
import type {
  Attachment,
  InUse,
  IsolatedNode,
  NetworkIsolator,
  NetworkSpec,
  Remark,
  TellWait,
} from "./network-isolator.ts";
import { inspectOvs } from "./ovs-inspect.ts";
import {
  attachmentsOf,
  EVERY_VLAN,
  type OvsNetwork,
  type OvsPort,
  type OvsState,
  portUnchanged,
  readState,
  setNetwork,
  setProject,
  setVlans,
  vlanOf,
} from "./ovs-state.ts";
import type { Ovsdb, OvsdbOperation } from "./ovsdb.ts";

export type OvsIsolatorOptions = {
  ovsdb: Ovsdb;
  bridge: string;
  /** VLANs for networks that name none, both ends included. */
  vlans: { first: number; last: number };
  /** The ports of the bridge that each node is cabled to; a NIC is named by its port. */
  nodes: () => Record<string, { nic: string; mac?: string }[]>;
  /** How long the switch may take to do what its database says; default 10. */
  applySeconds?: number;
};

/**
 * Networks by a bridge of Open vSwitch: each is a VLAN, native or tagged on the ports of NICs. A port in none reaches nobody.
 * All records are in the switch's own database (`ovs-vsctl list bridge`, `list port`: external_ids, tag, trunks). Every change
 * is one transaction that holds only if nothing it depends on has changed since, and a verb returns once ovs-vswitchd has
 * taken it: TIMEOUT where that does not.
 */
export class OvsIsolator implements NetworkIsolator {
  readonly #options: Required<OvsIsolatorOptions>;

  constructor(options: OvsIsolatorOptions) {
    this.#options = { applySeconds: 10, ...options };
  }

  /** A node that is cabled to a port that the bridge has not is told of with its other NICs. */
  async nodes(signal: AbortSignal): Promise<IsolatedNode[]> {
    const state = await this.#read("list the ports of nodes", signal);
    return Object.keys(this.#options.nodes()).map((name) => this.#view(name, this.#knownPorts(name, state), state));
  }

  async node(name: string, signal: AbortSignal): Promise<IsolatedNode> {
    const state = await this.#read(`read node ${name}`, signal);
    return this.#view(name, this.#ports(name, state), state);
  }

  /** Also closes the node's ports that nobody has set up: Open vSwitch lets those reach every VLAN. */
  async allocate(node: string, project: string, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const action = `allocate ${node} to ${project}`;
    await this.#change(action, { signal, tell }, (state) => {
      const ports = this.#ports(node, state);
      this.#refuseOthers(action, node, ports, project);
      return ports.flatMap((port) => [
        ...(port.project === project ? [] : [setProject(port, project)]),
        ...(port.isOpen ? [setVlans(port, undefined, [])] : []),
        portUnchanged(port),
      ]);
    });
  }

  async free(node: string, project: string, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const action = `free ${node}`;
    await this.#change(action, { signal, tell }, (state) => {
      const ports = this.#ports(node, state);
      this.#refuseOthers(action, node, ports, project);
      const attached = ports
        .filter((port) => !port.isOpen)
        .flatMap((port) => attachmentsOf(port, state.networks).map(({ network }) => `${port.name} in ${network}`));
      if (ports.some((port) => port.project !== undefined) && attached.length > 0) {
        throw refusal("CONFLICT", `${action}: it is attached: ${attached.join(", ")}`, {
          action,
          attached,
          remedy: "detach its NICs first",
        });
      }
      return ports.flatMap((port) => [
        ...(port.project === undefined ? [] : [setProject(port, undefined)]),
        ...(port.isOpen ? [setVlans(port, undefined, [])] : []),
        portUnchanged(port),
      ]);
    });
  }

  /** CONFLICT when another network has that VLAN, POOL_FULL when the pool has none left. */
  async ensureNetwork(
    { name, project, vlan }: NetworkSpec,
    signal: AbortSignal,
    tell?: TellWait,
  ): Promise<{ vlan?: number }> {
    const action = `make network ${name}`;
    let chosen = vlan;
    await this.#change(action, { signal, tell }, (state) => {
      const there = state.networks.get(name);
      if (there) {
        chosen = there.vlan;
        if (there.project === project && (vlan ?? there.vlan) === there.vlan) return [];
        throw refusal("EXISTS", `bridge ${this.#options.bridge} has another network ${name}`, {
          ...there,
          remedy: `choose another name, or, once no NIC is in that one: ovs-vsctl remove bridge ${this.#options.bridge} external_ids '"ingot-network:${name}"'`,
        });
      }
      chosen = vlan ?? this.#freeVlan(action, state);
      const taken = [...state.networks.values()].find((network) => network.vlan === chosen);
      if (taken) {
        throw refusal("CONFLICT", `${action}: network ${taken.name} has VLAN ${chosen}`, {
          action,
          remedy: "choose another VLAN, or leave the choice to the pool",
        });
      }
      const record = { vlan: chosen, ...(project !== undefined && { project }) };
      return [setNetwork(this.#options.bridge, name, record), state.networksUnchanged];
    });
    return { vlan: chosen! };
  }

  async ensureAccess(
    network: string,
    projects: readonly string[],
    signal: AbortSignal,
    tell?: TellWait,
  ): Promise<void> {
    const { bridge } = this.#options;
    const action = `share network ${network}`;
    await this.#change(action, { signal, tell }, (state) => {
      const there = state.networks.get(network);
      if (!there)
        throw refusal("NOT_FOUND", `${action}: there is no such network`, { action, remedy: "make it first" });
      const { name: _, access = [], ...made } = there;
      const others = projects.filter((project) => project !== there.project);
      const lost = access.filter((project) => !others.includes(project));
      if (lost.length === 0 && others.every((project) => access.includes(project))) return [];
      const isIn = ({ native, tagged }: OvsPort) => native === there.vlan || tagged.includes(there.vlan);
      const users = [...state.ports.values()].filter((port) => lost.includes(port.project ?? "") && isIn(port));
      if (users.length > 0) {
        const attached = users.map(({ name }) => name);
        const message = `${action}: NICs of ${lost.join(", ")} are in it: ${attached.join(", ")}`;
        throw refusal("CONFLICT", message, { action, attached, remedy: "detach them first" });
      }
      const record = { ...made, ...(others.length > 0 && { access: others }) };
      const asSeen = lost.length > 0 ? [...state.ports.values()].map(portUnchanged) : [];
      return [setNetwork(bridge, network, record), state.networksUnchanged, ...asSeen];
    });
  }

  async removeNetwork(name: string, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const action = `remove network ${name}`;
    await this.#change(action, { signal, tell }, (state) => {
      const there = state.networks.get(name);
      if (!there) return [];
      const { vlan } = there;
      const ports = [...state.ports.values()];
      const users = ports.filter((port) => this.#vlansOf(port).includes(vlan));
      if (users.length > 0) {
        const attached = users.map((port) => port.name);
        throw refusal("CONFLICT", `${action}: NICs are in it: ${attached.join(", ")}`, {
          action,
          attached,
          remedy: "detach them first",
        });
      }
      const asSeen = ports.map(portUnchanged);
      return [setNetwork(this.#options.bridge, name, undefined), state.networksUnchanged, ...asSeen];
    });
  }

  async ensureAttached(
    { node, nic, network, channel }: Attachment,
    signal: AbortSignal,
    tell?: TellWait,
  ): Promise<void> {
    const action = `attach ${nic} of ${node} to ${network}`;
    await this.#change(action, { signal, tell }, (state) => {
      const port = this.#port(node, nic, state);
      const wanted = state.networks.get(network);
      if (!wanted)
        throw refusal("NOT_FOUND", `${action}: there is no such network`, { action, remedy: "make it first" });
      const { project } = port;
      if (project === undefined || !mayAttach(project, wanted)) {
        const who =
          project === undefined ? "nobody has the node" : `it is for ${wanted.project}, and ${project} has the node`;
        throw refusal("CONFLICT", `${action}: ${who}`, {
          action,
          remedy: "allocate the node to a project of the network",
        });
      }
      const { vlan } = wanted;
      const others = port.tagged.filter((one) => one !== vlan);
      const native = channel === "native" ? vlan : port.native === vlan ? undefined : port.native;
      const tagged = channel === "native" ? others : [...others, vlan];
      const isSo = !port.isOpen && native === port.native && tagged.length === port.tagged.length;
      return isSo ? [] : [setVlans(port, native, tagged), portUnchanged(port), state.networksUnchanged];
    });
  }

  async ensureDetached({ node, nic, network }: Attachment, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const action = `detach ${nic} of ${node} from ${network}`;
    await this.#change(action, { signal, tell }, (state) => {
      const port = this.#port(node, nic, state);
      if (port.isOpen && network === EVERY_VLAN) {
        return [setVlans(port, undefined, []), portUnchanged(port), state.networksUnchanged];
      }
      const vlan = vlanOf(network, state.networks);
      if (vlan === undefined || (port.native !== vlan && !port.tagged.includes(vlan))) return [];
      const native = port.native === vlan ? undefined : port.native;
      const tagged = port.tagged.filter((one) => one !== vlan);
      return [setVlans(port, native, tagged), portUnchanged(port), state.networksUnchanged];
    });
  }

  async inspect(use: InUse, signal: AbortSignal): Promise<Remark[]> {
    const { ovsdb, bridge, nodes } = this.#options;
    const state = await this.#read(`look at bridge ${bridge}`, signal);
    const ports = Object.entries(nodes()).flatMap(([node, nics]) => nics.map(({ nic }) => ({ node, nic })));
    return await inspectOvs(ovsdb, { bridge, ports }, state, use, signal);
  }

  #read(action: string, signal: AbortSignal): Promise<OvsState> {
    return readState(this.#options.ovsdb, this.#options.bridge, action, signal);
  }

  /**
   * Reads, lets `plan` say what to change and what that depends on, and does it; again from the start when somebody else
   * changed that between. An empty plan waits for ovs-vswitchd too: what the database says may be a change that it did not take.
   */
  async #change(
    action: string,
    { signal, tell }: { signal: AbortSignal; tell: TellWait | undefined },
    plan: (state: OvsState) => OvsdbOperation[],
  ): Promise<void> {
    const { ovsdb, applySeconds } = this.#options;
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(applySeconds * 1000)]);
    for (;;) {
      const planned = plan(await this.#read(action, deadline));
      // What it depends on goes first: a wait sees what the operations before it did.
      const operations = planned.toSorted((a, b) => Number(b.op === "wait") - Number(a.op === "wait"));
      const count = { op: "mutate", table: "Open_vSwitch", where: [], mutations: [["next_cfg", "+=", 1]] };
      const changes = operations.some(({ op }) => op !== "wait") ? [...operations, count] : [];
      const look = { op: "select", table: "Open_vSwitch", where: [], columns: ["next_cfg"] };
      const results = await ovsdb.transact([...changes, look], action, deadline);
      const failed = results.find(({ error }) => error !== undefined);
      if (!failed) return await this.#applied(Number(results.at(-1)?.rows?.[0]?.next_cfg), action, deadline, tell);
      if (failed.error !== "timed out") throw driverFailed("ovs", action, `${failed.error}: ${failed.details ?? ""}`);
    }
  }

  /** Returns once ovs-vswitchd has done what the database said at `config`. */
  async #applied(config: number, action: string, signal: AbortSignal, tell?: TellWait): Promise<void> {
    const began = performance.now();
    const done = {
      op: "wait",
      table: "Open_vSwitch",
      where: [["cur_cfg", ">=", config]],
      columns: ["cur_cfg"],
      until: "!=",
      rows: [],
      timeout: 1000,
    };
    for (;;) {
      const [result] = await this.#options.ovsdb.transact([done], action, signal).catch((error) => {
        if (!signal.aborted) throw error;
        const { code, message } = abortedError(signal, "ovs", action);
        throw refusal(code, `${message}: the database has the change, and ovs-vswitchd has not taken it`, {
          action,
          remedy: "see that ovs-vswitchd runs, then try again; it does the change when it comes back",
        });
      });
      if (result?.error === undefined) return;
      if (result.error !== "timed out") throw driverFailed("ovs", action, `${result.error}: ${result.details ?? ""}`);
      const seconds = (performance.now() - began) / 1000;
      const reason = `${action}: ovs-vswitchd has not taken it yet`;
      tell?.({ reason, seconds, atMostSeconds: this.#options.applySeconds });
    }
  }

  #freeVlan(action: string, { networks, ports }: OvsState): number {
    const { first, last } = this.#options.vlans;
    const taken = new Set([...networks.values()].map(({ vlan }) => vlan));
    for (const port of ports.values()) for (const vlan of this.#vlansOf(port)) taken.add(vlan);
    for (let vlan = first; vlan <= last; vlan++) if (!taken.has(vlan)) return vlan;
    throw refusal("POOL_FULL", `${action}: all VLANs from ${first} to ${last} are taken`, {
      action,
      remedy: "remove networks that nobody uses, or widen the pool of VLANs",
    });
  }

  /** The VLANs that a port's machine is in. A port of no node carries tagged ones past the bridge, as to another switch. */
  #vlansOf({ name, project, native, tagged }: OvsPort): number[] {
    const nodes = Object.values(this.#options.nodes()).flat();
    const isNodes = project !== undefined || nodes.some(({ nic }) => nic === name);
    return [...(native === undefined ? [] : [native]), ...(isNodes ? tagged : [])];
  }

  #view(name: string, ports: OvsPort[], state: OvsState): IsolatedNode {
    const project = ports.find((port) => port.project !== undefined)?.project;
    const macs = new Map(this.#options.nodes()[name]?.map(({ nic, mac }) => [nic, mac]));
    return {
      name,
      ...(project !== undefined && { project }),
      nics: ports.map((port) => {
        const mac = macs.get(port.name);
        return { name: port.name, ...(mac !== undefined && { mac }), networks: attachmentsOf(port, state.networks) };
      }),
    };
  }

  /** Those of its ports that the bridge has. */
  #knownPorts(node: string, { ports }: OvsState): OvsPort[] {
    return (this.#options.nodes()[node] ?? []).flatMap(({ nic }) => ports.get(nic) ?? []);
  }

  #ports(node: string, { ports }: OvsState): OvsPort[] {
    const { nodes, bridge } = this.#options;
    const known = nodes();
    const cabled = Object.hasOwn(known, node) ? known[node] : undefined;
    if (!cabled) {
      throw refusal("NOT_FOUND", `no port of bridge ${bridge} is known for node ${node}`, {
        node,
        remedy: "say which ports it is cabled to",
      });
    }
    return cabled.map(({ nic }) => {
      const port = ports.get(nic);
      if (port) return port;
      throw refusal("NOT_FOUND", `bridge ${bridge} has no port ${nic}, which node ${node} is said to be cabled to`, {
        node,
        nic,
        remedy: `ovs-vsctl add-port ${bridge} ${nic}, or correct the node's ports`,
      });
    });
  }

  #port(node: string, nic: string, state: OvsState): OvsPort {
    const found = this.#ports(node, state).find(({ name }) => name === nic);
    if (found) return found;
    const known = this.#options
      .nodes()
      [node]?.map((one) => one.nic)
      .join(", ");
    throw refusal("NOT_FOUND", `node ${node} has no NIC ${nic}`, { node, nic, remedy: `NICs that it has: ${known}` });
  }

  #refuseOthers(action: string, node: string, ports: OvsPort[], project: string): void {
    const owner = ports.find((port) => port.project !== undefined && port.project !== project)?.project;
    if (owner === undefined) return;
    throw refusal("CONFLICT", `${action}: ${owner} has it`, {
      action,
      node,
      owner,
      remedy: `free ${node} from ${owner}, or use another node`,
    });
  }
}

function mayAttach(project: string, { project: owner, access = [] }: OvsNetwork): boolean {
  return owner === undefined || owner === project || access.includes(project);
}

function refusal(code: ErrorCode, message: string, details: ErrorDetails): ApplianceError {
  return new ApplianceError(code, message, { details: { driver: "ovs", ...details } });
}
