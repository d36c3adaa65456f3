import type {
  Attachment,
  IsolatedNic,
  IsolatedNode,
  NetworkIsolator,
  NetworkSpec,
} from "../../src/drivers/isolation/network-isolator.ts";
import { ApplianceError, type ErrorCode } from "../../src/errors.ts";

/** A switch that obeys at once. It knows these nodes, with their NICs, and has VLANs from 100 on. */
export class MemoryIsolator implements NetworkIsolator {
  readonly #nodes = new Map<string, IsolatedNode>();
  readonly networks = new Map<string, NetworkSpec & { vlan: number }>();

  readonly access = new Map<string, string[]>();

  constructor(nodes: Record<string, string[]>) {
    for (const [name, nics] of Object.entries(nodes))
      this.#nodes.set(name, { name, nics: nics.map((nic) => ({ name: nic, networks: [] })) });
  }

  async nodes(): Promise<IsolatedNode[]> {
    return [...this.#nodes.values()].map((node) => structuredClone(node));
  }

  async node(name: string): Promise<IsolatedNode> {
    return structuredClone(this.#node(name));
  }

  async allocate(name: string, project: string): Promise<void> {
    const node = this.#node(name);
    if (node.project !== undefined && node.project !== project)
      throw refusal("CONFLICT", `${node.project} has ${name}`);
    node.project = project;
  }

  async free(name: string, project: string): Promise<void> {
    const node = this.#node(name);
    if (node.project === undefined) return;
    const { project: owner } = node;
    if (owner !== project) throw new ApplianceError("CONFLICT", `${owner} has ${name}`, { details: { owner } });
    if (node.nics.some(({ networks }) => networks.length > 0)) throw refusal("CONFLICT", `${name} is in networks`);
    delete node.project;
  }

  async ensureNetwork(wanted: NetworkSpec): Promise<{ vlan?: number }> {
    const there = this.networks.get(wanted.name);
    if (there) {
      const same = there.project === wanted.project && (wanted.vlan ?? there.vlan) === there.vlan;
      if (!same) throw refusal("EXISTS", `there is another network ${wanted.name}`);
      return { vlan: there.vlan };
    }
    const taken = new Set([...this.networks.values()].map((network) => network.vlan));
    let vlan = wanted.vlan ?? 100;
    while (wanted.vlan === undefined && taken.has(vlan)) vlan++;
    if (taken.has(vlan)) throw refusal("CONFLICT", `another network has VLAN ${vlan}`);
    this.networks.set(wanted.name, { ...wanted, vlan });
    return { vlan };
  }

  async ensureAccess(name: string, projects: readonly string[]): Promise<void> {
    const network = this.networks.get(name);
    if (!network) throw refusal("NOT_FOUND", `no network ${name}`);
    const others = projects.filter((one) => one !== network.project);
    const lost = (this.access.get(name) ?? []).filter((one) => !others.includes(one));
    const isIn = ({ project, nics }: IsolatedNode) =>
      lost.includes(project ?? "") && nics.some(({ networks }) => networks.some((one) => one.network === name));
    if ([...this.#nodes.values()].some(isIn)) throw refusal("CONFLICT", `NICs of ${lost} are in network ${name}`);
    this.access.set(name, others);
  }

  async removeNetwork(name: string): Promise<void> {
    const nics = [...this.#nodes.values()].flatMap((node) => node.nics);
    const isUsed = nics.some(({ networks }) => networks.some(({ network }) => network === name));
    if (isUsed) throw refusal("CONFLICT", `NICs are in network ${name}`);
    this.networks.delete(name);
    this.access.delete(name);
  }

  async ensureAttached({ node, nic, network, channel }: Attachment): Promise<void> {
    const { project } = this.#node(node);
    const found = this.#nic(node, nic);
    const wanted = this.networks.get(network);
    if (!wanted) throw refusal("NOT_FOUND", `no network ${network}`);
    if (project === undefined) throw refusal("CONFLICT", `nobody has ${node}`);
    const mayAttach = [wanted.project, ...(this.access.get(network) ?? [])].includes(project);
    if (wanted.project !== undefined && !mayAttach) throw refusal("CONFLICT", `${network} is not for ${project}`);
    const stay = found.networks.filter(
      (one) => one.network !== network && !(channel === "native" && one.channel === "native"),
    );
    found.networks = [...stay, { network, channel }];
  }

  async ensureDetached({ node, nic, network }: Attachment): Promise<void> {
    const found = this.#nic(node, nic);
    found.networks = found.networks.filter((one) => one.network !== network);
  }

  async inspect(): Promise<[]> {
    return [];
  }

  #node(name: string): IsolatedNode {
    const node = this.#nodes.get(name);
    if (!node) throw refusal("NOT_FOUND", `no node ${name}`);
    return node;
  }

  #nic(node: string, nic: string): IsolatedNic {
    const found = this.#node(node).nics.find(({ name }) => name === nic);
    if (!found) throw refusal("NOT_FOUND", `no NIC ${nic} of ${node}`);
    return found;
  }
}

function refusal(code: ErrorCode, message: string): ApplianceError {
  return new ApplianceError(code, message);
}
