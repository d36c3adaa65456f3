import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { BootClient } from "./boot-client.ts";
import type { BootDecision } from "./boot-decision.ts";

/**
 * The seam that DHCP, TFTP and HTTP share: one question, one function, three protocols.
 * Synchronous and in memory: a boot request never waits for a disk or an operation.
 */
export interface BootAnswers {
  /** What shall this client do now? `via` is the protocol that asks. Counts nothing and changes nothing. */
  answer(client: BootClient, via: "dhcp" | "http", network: string): BootDecision;
  /** Whether this address belongs to this NIC now (lease or pin): a node is answered about itself only. */
  owns(mac: Mac, address: Ipv4): boolean;
}
