import type { LeaseTable } from "../leases/lease-table.ts";
import { ANY_IPV4, type Ipv4, subnetContains } from "../values/ipv4.ts";
import type { DhcpRequest } from "./request.ts";

/** What is to be done about a request. */
export type Verdict =
  | { kind: "offer"; address: Ipv4 }
  /** Store the lease, then ACK (or BOOTREPLY). */
  | { kind: "bind"; address: Ipv4 }
  | { kind: "nak"; reason: string }
  /** ACK with parameters and no lease. */
  | { kind: "inform" }
  | { kind: "release"; address: Ipv4 }
  | { kind: "decline"; address: Ipv4 }
  /** `seenAs`: how the timeline names it, where it keeps a machine from booting. */
  | { kind: "silence"; reason: string; seenAs?: "no-address" | "other-dhcp-server" };

type Silence = Extract<Verdict, { kind: "silence" }>;
const silence = (reason: string, seenAs?: Silence["seenAs"]): Verdict => ({
  kind: "silence",
  reason,
  ...(seenAs ? { seenAs } : {}),
});
const nak = (reason: string): Verdict => ({ kind: "nak", reason });

/**
 * The rules of RFC 2131 4.3 for one request to the server `serverId`. Synchronous, no I/O; an offer keeps its address.
 * Addresses are not probed before they are offered (4.3.1 would like it): a probe costs every boot its timeout, and the
 * client's own one ends in a DECLINE.
 */
export function judge(request: DhcpRequest, leases: LeaseTable, serverId: Ipv4): Verdict {
  const { message, kind, owner, subnet, requested } = request;
  if (request.serverId && request.serverId !== serverId) {
    if (kind !== "selecting") return silence("meant for another server");
    leases.dropOffer(owner);
    return silence("meant for another server", "other-dhcp-server");
  }
  switch (kind) {
    case "discover": {
      const address = leases.offer(owner, subnet, requested);
      return address ? { kind: "offer", address } : silence("no address", "no-address");
    }
    case "selecting":
      if (!requested || !leases.mayHave(owner, subnet, requested)) return nak("address not available");
      return { kind: "bind", address: requested };
    case "init-reboot":
      return requested ? confirm(request, requested, leases) : silence("no address named");
    case "extending":
      return confirm(request, message.ciaddr, leases);
    case "decline":
      return requested ? { kind: "decline", address: requested } : silence("no address named");
    case "release":
      return { kind: "release", address: message.ciaddr };
    case "inform":
      return message.ciaddr === ANY_IPV4 ? silence("no address named") : { kind: "inform" };
    case "bootp": {
      // RFC 951 knows no leases: only an address that is the client's for good can be given.
      const address = leases.fixed(owner, subnet);
      return address ? { kind: "bind", address } : silence("BOOTP client without a fixed address");
    }
  }
}

/** INIT-REBOOT, RENEWING and REBINDING: the client believes that it has this address (RFC 2131 4.3.2). */
function confirm({ owner, subnet }: DhcpRequest, address: Ipv4, leases: LeaseTable): Verdict {
  if (!subnetContains(subnet.subnet, address)) return nak("wrong network");
  const assigned = leases.assigned(owner, subnet);
  if (assigned === address) return { kind: "bind", address };
  const isAnothers = leases.findByAddress(address) !== undefined;
  if (assigned || leases.find(owner) || isAnothers) return nak("address not available");
  return silence("no record of this client");
}
