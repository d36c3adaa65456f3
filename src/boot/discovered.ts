import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { FirmwareClass } from "./boot-client.ts";
import type { BootEventSink } from "./boot-event.ts";

const MAX_MACHINES = 1000;
/** Kept beyond that, so that dropping is rare: the way to a map's first key leads past all that were removed before it. */
const SPARE = 200;

/** A machine that asked for an address and belongs to no node. Times in milliseconds since the epoch. */
export type DiscoveredMachine = {
  mac: Mac;
  firstSeenAt: number;
  lastSeenAt: number;
  network?: string;
  address?: Ipv4;
  firmware?: FirmwareClass;
  architecture?: number;
  uuid?: string;
  vendorClass?: string;
};

/** Remembers machines that nobody registered, the thousand heard of last; in memory, since they ask again. */
export class DiscoveredMachines {
  readonly #isNode: (mac: Mac) => boolean;
  /** The one heard of longest ago first. */
  readonly #machines = new Map<Mac, DiscoveredMachine>();

  constructor(isNode: (mac: Mac) => boolean) {
    this.#isNode = isNode;
  }

  /** Takes the events of the boot path. Returns at once and never throws. */
  readonly sink: BootEventSink = ({ mac, at, network, address, client }) => {
    const before = this.#machines.get(mac);
    if (!before && !client) return; // only DHCP tells of a machine that is really there
    this.#machines.delete(mac);
    if (this.#isNode(mac)) return;
    const machine: DiscoveredMachine = before ?? { mac, firstSeenAt: at, lastSeenAt: at };
    machine.lastSeenAt = at;
    if (network) machine.network = network;
    if (address) machine.address = address;
    const { firmware, architecture, uuid, vendorClass } = client ?? {};
    if (firmware) machine.firmware = firmware;
    if (architecture !== undefined) machine.architecture = architecture;
    if (uuid) machine.uuid = uuid;
    if (vendorClass) machine.vendorClass = vendorClass;
    this.#machines.set(mac, machine);
    if (this.#machines.size === MAX_MACHINES + SPARE) this.#dropOldest();
  };

  #dropOldest(): void {
    for (const oldest of this.#machines.keys()) {
      if (this.#machines.size <= MAX_MACHINES) return;
      this.#machines.delete(oldest);
    }
  }

  /** All of them that are no node by now, the latest first. */
  list(): DiscoveredMachine[] {
    this.#dropOldest();
    const strangers = [...this.#machines.values()].filter(({ mac }) => !this.#isNode(mac));
    return strangers.map((machine) => ({ ...machine })).reverse();
  }
}
