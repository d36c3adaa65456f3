import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import { ApplianceError } from "../errors.ts";
import { DEFAULT_PROJECT } from "../projects/project.ts";
import { ProjectRegistry } from "../projects/project-registry.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import { newId } from "../values/id.ts";
import { type Ipv4, ipv4ToNumber, subnetContains } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import { byName, parseName } from "../values/name.ts";
import { isolatedName, type Nic, type NodePower, type NodeRecord } from "./node.ts";

/** A node as an operator describes it. */
export type NewNode = {
  name: string;
  project: string;
  nics: Nic[];
  firmware: "bios" | "uefi";
  loader: "auto" | "ours";
  power: NodePower;
  isolatedAs?: string;
};

/** The collection of whose data the drives may hold of nodes that were removed while they were dirty, keyed by the MACs of their cards. */
const UNWIPED = "unwipedCards";

/** The nodes that were registered, by name, id and MAC. */
export class NodeRegistry {
  readonly #records: Records;
  readonly #nodes: Collection<NodeRecord>;
  readonly #unwiped: Collection<NonNullable<NodeRecord["dirty"]>>;
  readonly #projects: ProjectRegistry;
  readonly #config: Config;
  readonly #clock: Clock;
  /** Ids: what is known of a node otherwise changes. */
  readonly #byMac = new Map<Mac, string>();
  readonly #byAddress = new Map<Ipv4, Nic>();
  readonly #watchers: ((id: string) => void)[] = [];

  constructor(dependencies: { records: Records; config: Config; clock: Clock }) {
    this.#records = dependencies.records;
    this.#nodes = this.#records.collection("nodes");
    this.#unwiped = this.#records.collection(UNWIPED);
    this.#projects = new ProjectRegistry(dependencies);
    this.#config = dependencies.config;
    this.#clock = dependencies.clock;
    for (const node of this.#nodes.values()) this.#index(node);
  }

  /** Tells of each node that was added, changed or removed, once it is on record. */
  watch(onChange: (id: string) => void): void {
    this.#watchers.push(onChange);
  }

  /** All nodes by name. */
  list(): NodeRecord[] {
    return [...this.#nodes.values()].sort(byName);
  }

  /** The node of this name or id; NOT_FOUND otherwise. */
  get(nameOrId: string): NodeRecord {
    const node = this.#nodes.get(nameOrId) ?? [...this.#nodes.values()].find((one) => one.name === nameOrId);
    if (!node) throw noSuchNode(nameOrId);
    return node;
  }

  /** The node of this id. */
  find(id: string): NodeRecord | undefined {
    return this.#nodes.get(id);
  }

  /** The node that has this card. */
  findByMac(mac: Mac): NodeRecord | undefined {
    const id = this.#byMac.get(mac);
    return id === undefined ? undefined : this.#nodes.get(id);
  }

  /** The address that an operator fixed for this card on this network. */
  reservationFor(mac: Mac, network: string): Ipv4 | undefined {
    return this.findByMac(mac)?.nics.find((nic) => nic.mac === mac && nic.network === network)?.address;
  }

  /** Whether this address is fixed for some card. */
  isReserved(address: Ipv4): boolean {
    return this.#byAddress.has(address);
  }

  /** Whether a node has this card. */
  isRegistered(mac: Mac): boolean {
    return this.#byMac.has(mac);
  }

  /**
   * Registers a node. EXISTS for a name, card or address in use; NOT_FOUND for its project; INVALID for a network that is not
   * configured; CONFLICT for a card of a node that was removed while its drives held what another project wrote.
   */
  async add(request: NewNode, requestedBy: string): Promise<NodeRecord> {
    this.#check(request);
    const dirty = this.#dirtOf(request);
    const node: NodeRecord = {
      ...{ id: newId("node"), ...request, createdAt: this.#clock.now(), requestedBy },
      ...(dirty && { dirty }),
    };
    // indexed in the same turn as it is checked: two requests for one card may come at once
    this.#index(node);
    try {
      await this.#records.commit([
        { collection: "nodes", key: node.id, value: node },
        ...this.#unwipedCards(node, null),
      ]);
    } catch (error) {
      this.#unindex(node);
      throw error;
    }
    this.#tell(node.id);
    return node;
  }

  /** Changes what is on record of a node. NOT_FOUND, and as `add` for what does not fit. Its name and its cards stay. */
  async change(id: string, change: (node: NodeRecord) => NodeRecord): Promise<NodeRecord> {
    const node = change(this.get(id));
    this.#projects.get(node.project);
    this.#checkPorts(node, node.id);
    await this.#records.commit([{ collection: "nodes", key: id, value: node }]);
    this.#tell(id);
    return node;
  }

  /** The change by which a node is dirty from now on. */
  dirtied(id: string, project: string, since: number): Change {
    const node = this.get(id);
    return { collection: "nodes", key: id, value: { ...node, dirty: { project, since } } };
  }

  /** Forgets a node, but not whose data its drives may hold. IN_USE while it has a disk. */
  async remove(nameOrId: string): Promise<void> {
    const node = this.get(nameOrId);
    if (this.#records.collection("bootEntries").get(node.id)) {
      throw new ApplianceError("IN_USE", `node ${node.name} is provisioned`, {
        details: { field: "node", value: node.name, remedy: `ingot deprovision ${node.name} first` },
      });
    }
    const unwiped = node.dirty ? this.#unwipedCards(node, node.dirty) : [];
    await this.#records.commit([{ collection: "nodes", key: node.id, value: null }, ...unwiped]);
    this.#unindex(node);
    this.#tell(node.id);
  }

  /** What the drives of a machine with these cards may hold since it was a node before. */
  #dirtOf({ name, project, nics }: NewNode): NodeRecord["dirty"] {
    const dirty = nics.map(({ mac }) => this.#unwiped.get(mac)).find((one) => one !== undefined);
    if (!dirty || dirty.project === project || dirty.allowedTo === project) return dirty;
    // where nodes go whose project is no more
    const home = this.#projects.list().some((one) => one.name === dirty.project) ? dirty.project : DEFAULT_PROJECT;
    if (project === home) return dirty;
    throw new ApplianceError("CONFLICT", `its own drives may hold what project ${dirty.project} wrote`, {
      details: {
        field: "project",
        value: project,
        remedy: `register it as ${home}'s; wipe them, then ingot node wiped ${name}, or answer for it: ingot node move ${name} ${project} --unwiped`,
      },
    });
  }

  #unwipedCards({ nics }: NodeRecord, value: NodeRecord["dirty"] | null): Change[] {
    return nics
      .filter(({ mac }) => value || this.#unwiped.get(mac))
      .map(({ mac }) => ({ collection: UNWIPED, key: mac, value: value ?? null }));
  }

  #tell(id: string): void {
    for (const onChange of this.#watchers) onChange(id);
  }

  #index(node: NodeRecord): void {
    for (const nic of node.nics) {
      this.#byMac.set(nic.mac, node.id);
      if (nic.address) this.#byAddress.set(nic.address, nic);
    }
  }

  #unindex(node: NodeRecord): void {
    for (const nic of node.nics) {
      this.#byMac.delete(nic.mac);
      if (nic.address) this.#byAddress.delete(nic.address);
    }
  }

  #check(request: NewNode): void {
    parseName(request.name);
    this.#projects.get(request.project);
    if ([...this.#nodes.values()].some((node) => node.name === request.name)) {
      throw new ApplianceError("EXISTS", `there is a node "${request.name}" already`, {
        details: { field: "name", value: request.name, remedy: "choose another name, or remove that node first" },
      });
    }
    const boot = request.nics.filter((nic) => nic.role === "boot");
    if (boot.length !== 1 || !boot[0]?.network) {
      throw new ApplianceError("INVALID", "nics: a node boots from exactly one NIC, on a provisioning network", {
        details: { field: "nics", value: boot.length, remedy: 'give one NIC the role "boot" and a network' },
      });
    }
    for (const [index, nic] of request.nics.entries()) this.#checkNic(nic, `nics[${index}]`, request);
    this.#checkPorts(request, undefined);
  }

  /** Ports are the isolator's names within a node where it is HIL, and of a whole switch where it is one. */
  #checkPorts(node: Pick<NewNode, "name" | "nics" | "isolatedAs" | "power">, own: string | undefined): void {
    const { driver } = this.#config.isolation;
    if (driver === "none") return;
    const others = [...this.#nodes.values()].filter(({ id }) => id !== own);
    const twin = others.find((one) => isolatedName(one) === isolatedName(node));
    if (twin) {
      throw new ApplianceError(
        "EXISTS",
        `isolatedAs: ${isolatedName(node)} is what ${driver} calls node ${twin.name}`,
        {
          details: { field: "isolatedAs", value: isolatedName(node), remedy: "say what this node is called there" },
        },
      );
    }
    const taken = new Set(driver === "hil" ? [] : others.flatMap(({ nics }) => nics.flatMap(({ port }) => port ?? [])));
    for (const [index, { port }] of node.nics.entries()) {
      if (port === undefined) continue;
      if (taken.has(port)) {
        throw new ApplianceError("EXISTS", `nics[${index}].port: another NIC is cabled to ${port}`, {
          details: {
            field: `nics[${index}].port`,
            value: port,
            remedy: "look where the cable ends, and name that port",
          },
        });
      }
      taken.add(port);
    }
  }

  #checkNic(nic: Nic, field: string, request: NewNode): void {
    const holder = this.findByMac(nic.mac);
    if (this.isRegistered(nic.mac) || request.nics.filter((one) => one.mac === nic.mac).length > 1) {
      throw new ApplianceError(
        "EXISTS",
        `${field}.mac: ${nic.mac} belongs to ${holder ? `node ${holder.name}` : "another NIC of this node"}`,
        {
          details: { field: `${field}.mac`, value: nic.mac, remedy: "read the address off the card or the BMC again" },
        },
      );
    }
    const network = this.#config.networks.find((one) => one.name === nic.network);
    if (nic.network !== undefined && !network) {
      const known = this.#config.networks.map((one) => one.name).join(", ");
      throw new ApplianceError("INVALID", `${field}.network: there is no network "${nic.network}"`, {
        details: { field: `${field}.network`, value: nic.network, remedy: `configured networks: ${known}` },
      });
    }
    if (nic.address === undefined) return;
    if (network?.dhcp === "proxy" || network?.dhcp === "off") {
      throw new ApplianceError(
        "INVALID",
        `${field}.address: addresses on ${network.name} are another server's to give`,
        {
          details: { field: `${field}.address`, value: nic.address, remedy: "leave it out, and fix the address there" },
        },
      );
    }
    const subnets = network ? [network.subnet, ...network.relayedSubnets.map((one) => one.subnet)] : [];
    if (!subnets.some((subnet) => subnetContains(subnet, nic.address as Ipv4))) {
      throw new ApplianceError("INVALID", `${field}.address: ${nic.address} is in no subnet of its network`, {
        details: { field: `${field}.address`, value: nic.address, remedy: "choose one inside the network's subnet" },
      });
    }
    const own = network && ipv4ToNumber(network.address) === ipv4ToNumber(nic.address);
    if (own || this.#byAddress.has(nic.address)) {
      throw new ApplianceError("EXISTS", `${field}.address: ${nic.address} is in use`, {
        details: { field: `${field}.address`, value: nic.address, remedy: "choose another one, or none" },
      });
    }
  }
}

/** NOT_FOUND, in the words for a node that is nowhere. */
export function noSuchNode(nameOrId: string): ApplianceError {
  return new ApplianceError("NOT_FOUND", `there is no node "${nameOrId}"`, {
    details: { field: "node", value: nameOrId, remedy: "ingot node list shows those that there are" },
  });
}
