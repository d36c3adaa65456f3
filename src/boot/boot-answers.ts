import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { LeaseRecord } from "../leases/lease.ts";
import type { FindNode } from "../nodes/node.ts";
import type { Records } from "../store/records.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { BootClient } from "./boot-client.ts";
import type { BootDecision } from "./boot-decision.ts";
import type { BootEntry } from "./boot-entry.ts";
import { type BootSession, isChainedIn } from "./boot-session.ts";
import { decideBoot } from "./decide-boot.ts";
import { loopOf } from "./loader-memory.ts";

/**
 * The seam that DHCP, TFTP and HTTP share: one question, one function, three protocols.
 * Synchronous and in memory: a boot request never waits for a disk or an operation.
 */
export interface BootAnswers {
  /** What shall this client do now? `via` is the protocol that asks. Counts nothing and changes nothing. */
  answer(client: BootClient, via: "dhcp" | "http", network: string): BootDecision;
  /** Whether this address belongs to this NIC now (lease or pin): a node is answered about itself only. */
  owns(mac: Mac, address: Ipv4, network: string): boolean;
  /** The NIC that this address belongs to now, if any. */
  ownerOf(address: Ipv4, network: string): Mac | undefined;
}

/** What the answers are made of. */
export type BootKnowledge = {
  findNode: FindNode;
  /** Collections `bootEntries` (by node id) and `leases` (by address). */
  records: Records;
  /** The configuration in force now. */
  config: () => Pick<Config, "networks" | "loaders" | "arming">;
  /** The boot that this request belongs to (`Timeline.bootOf`). */
  bootOf: (client: BootClient, via: "dhcp" | "http") => BootSession;
  clock: Clock;
};

/** The answers as the records and the configuration give them. */
export function createBootAnswers({ findNode, records, config, bootOf, clock }: BootKnowledge): BootAnswers {
  const entries = records.collection<BootEntry>("bootEntries");
  const leases = records.collection<LeaseRecord>("leases");

  const ownerOf = (address: Ipv4, network: string): Mac | undefined => {
    const lease = leases.get(address);
    if (!lease || lease.network !== network || lease.state === "declined") return undefined;
    return lease.state === "pinned" || lease.expiresAt > clock.now() ? lease.mac : undefined;
  };

  return {
    answer(client, via, network) {
      const node = findNode(client.mac);
      const { networks, loaders, arming } = config();
      const entry = node && entries.get(node.id);
      const boot = bootOf(client, via);
      return decideBoot({
        client,
        via,
        network,
        known: node !== undefined,
        entry,
        armed: arming === "open" || entry?.disarmedAt === undefined,
        unknown: networks.find((one) => one.name === network)?.unknown ?? "ignore",
        loaders,
        memory: boot.taught,
        loop: loopOf(boot.taught, clock.now()),
        chained: isChainedIn(boot),
      });
    },
    owns: (mac, address, network) => ownerOf(address, network) === mac,
    ownerOf,
  };
}
