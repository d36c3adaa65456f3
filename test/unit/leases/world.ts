import type { Clock } from "../../../src/clock.ts";
import { type Config, configSchema, type NetworkConfig } from "../../../src/config/schema.ts";
import type { LeaseOwner } from "../../../src/leases/lease-index.ts";
import { LeaseTable, type Reservations } from "../../../src/leases/lease-table.ts";
import type { ServedSubnet } from "../../../src/leases/served-subnet.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { HeldRecords } from "../../fakes/held-records.ts";

/** Network `rack`: 10.0.0.0/24 with four pool addresses (.10 to .13), and 10.0.5.0/24 behind a relay with two. */
export function rack(more: Partial<Config["networks"][number]> = {}): NetworkConfig {
  const [network] = configSchema.parse({
    networks: [
      {
        name: "rack",
        interface: "eth1",
        address: "10.0.0.1",
        subnet: "10.0.0.0/24",
        pool: [{ from: "10.0.0.10", to: "10.0.0.13" }],
        relayedSubnets: [
          { subnet: "10.0.5.0/24", pool: [{ from: "10.0.5.10", to: "10.0.5.11" }], router: "10.0.5.254" },
        ],
        leaseSeconds: 600,
        portals: [{ address: "10.0.0.2" }],
        tgtd: { control: 1 },
      },
    ],
  }).networks;
  return { ...network!, ...more };
}

/** A clock that the test turns. */
export class TurnedClock implements Clock {
  #now = 1_000_000_000_000;
  now = (): number => this.#now;
  sleep = (): Promise<void> => Promise.reject(new Error("nothing sleeps here"));
  turn(seconds: number): void {
    this.#now += seconds * 1000;
  }
}

export const ip = (text: string) => text as Ipv4;

/** The MAC of machine 0, 1, 2, …, and its identity on `rack`. */
export const macOf = (machine: number) => `52:54:00:00:00:${machine.toString(16).padStart(2, "0")}` as Mac;
export const owner = (machine: number): LeaseOwner => ({ network: "rack", mac: macOf(machine) });

/** A lease table over records in memory. `reserved`, and who is a stranger, may be changed at any time. */
export function leaseWorld(network: NetworkConfig = rack()) {
  const records = new HeldRecords();
  const clock = new TurnedClock();
  const reserved = new Map<Mac, Ipv4>();
  const strangers = new Set<Mac>();
  const reservations: Reservations = {
    reservationFor: (mac) => reserved.get(mac),
    isReserved: (address) => [...reserved.values()].includes(address),
    isRegistered: (mac) => !strangers.has(mac),
  };
  const open = () => new LeaseTable([network], records, reservations, clock);
  const leases = open();
  const [own, relayed] = leases.subnets("rack") as [ServedSubnet, ServedSubnet];
  const pin = async (machine: number, wished?: Ipv4) => {
    const { address, changes } = leases.pin(macOf(machine), "rack", wished);
    await records.commit(changes);
    return address;
  };
  const unpin = (machine: number) => records.commit(leases.unpin(macOf(machine), "rack"));
  /** DISCOVER and REQUEST. */
  const lease = async (machine: number) => {
    const address = leases.offer(owner(machine), own);
    if (address) await leases.bind(owner(machine), address, 600);
    return address;
  };
  return { records, clock, reserved, strangers, leases, open, own, relayed, pin, unpin, lease };
}
