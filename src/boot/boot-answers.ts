import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { FindNode } from "../nodes/node.ts";
import type { Records } from "../store/records.ts";
import type { AddressOwners } from "./address-owners.ts";
import type { BootClient } from "./boot-client.ts";
import type { BootDecision } from "./boot-decision.ts";
import type { BootEntry } from "./boot-entry.ts";
import { type BootSession, find, isChainedIn } from "./boot-session.ts";
import { decideBoot } from "./decide-boot.ts";
import { loopOf } from "./loader-memory.ts";

/**
 * The seam that DHCP, TFTP and HTTP share: one question, one function, three protocols.
 * Synchronous and in memory: a boot request never waits for a disk or an operation.
 */
export interface BootAnswers extends AddressOwners {
  /** What shall this client do now? `via` is the protocol that asks. Counts nothing and changes nothing. */
  answer(client: BootClient, via: "dhcp" | "http", network: string): BootDecision;
}

/** What the answers are made of. */
export type BootKnowledge = {
  findNode: FindNode;
  /** Collection `bootEntries` (by node id). */
  records: Records;
  /** The configuration in force now. */
  config: () => Pick<Config, "networks" | "loaders" | "arming">;
  /** The boot that this request belongs to (`Timeline.bootOf`). */
  bootOf: (client: BootClient, via: "dhcp" | "http") => BootSession;
  owners: AddressOwners;
  clock: Clock;
};

/** The answers as the records and the configuration give them. */
export function createBootAnswers({ findNode, records, config, bootOf, owners, clock }: BootKnowledge): BootAnswers {
  const entries = records.collection<BootEntry>("bootEntries");
  return {
    ...owners,
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
        unfetched: find(boot, "boot-file") === undefined,
      });
    },
  };
}
