import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { FirmwareClass } from "./boot-client.ts";
import type { BootEventSink } from "./boot-event.ts";

const MAX_MACHINES = 1000;

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
    const { firmware, architecture, uuid, vendorClass } = client ?? {};
    const news = { network, address, firmware, architecture, uuid, vendorClass };
    this.#machines.set(mac, {
      ...(before ?? { mac, firstSeenAt: at }),
      ...(Object.fromEntries(Object.entries(news).filter(([, value]) => value !== undefined)) as Partial<
        typeof before
      >),
      lastSeenAt: at,
    });
    if (this.#machines.size > MAX_MACHINES) this.#machines.delete(this.#machines.keys().next().value as Mac);
  };

  /** All of them that are no node by now, the latest first. */
  list(): DiscoveredMachine[] {
    return [...this.#machines.values()].filter(({ mac }) => !this.#isNode(mac)).reverse();
  }
}
