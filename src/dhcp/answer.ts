import type { BootAnswers } from "../boot/boot-answers.ts";
import type { BootClient } from "../boot/boot-client.ts";
import type { BootDecision } from "../boot/boot-decision.ts";
import type { BootEvent } from "../boot/boot-event.ts";
import { identifyBootClient } from "../boot/identify-boot-client.ts";
import type { NetworkConfig } from "../config/schema.ts";
import type { LeaseClaim, LeaseTable } from "../leases/lease-table.ts";
import type { ServedSubnet } from "../leases/served-subnet.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { tryReadOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import type { Options } from "../wire/dhcp/tlv.ts";
import { bootFields } from "./boot-options.ts";
import { judge, type Verdict } from "./judge.ts";
import { networkOptions } from "./network-options.ts";
import { buildNak, buildReply } from "./reply.ts";
import type { Destination } from "./reply-destination.ts";
import { type DhcpRequest, readRequest } from "./request.ts";

/** What one network's DHCP answers are made of. */
export type DhcpSite = {
  network: NetworkConfig;
  leases: LeaseTable;
  answers: BootAnswers;
  /** The network's subnets, as `leases` knows them, and what their clients are told. */
  subnets: ReadonlyMap<ServedSubnet, Options>;
};

/** What came of a message. `outcome` is a fixed phrase for the log. */
export type DhcpAnswer = {
  outcome: string;
  reason?: string;
  reply?: DhcpMessage;
  /** Where the reply goes; as `replyDestination` says without it. */
  to?: Destination;
  address?: Ipv4;
  /** For the timeline, once the reply is on its way; times are the sender's. */
  events: Omit<BootEvent, "at">[];
};

/** The site of a network whose addresses these leases give; the options of its subnets are worked out once, here. */
export function dhcpSite(network: NetworkConfig, leases: LeaseTable, answers: BootAnswers): DhcpSite {
  const subnets = leases.subnets(network.name);
  return { network, leases, answers, subnets: new Map(subnets.map((one) => [one, networkOptions(network, one)])) };
}

/**
 * The answer to one message that came in on the site's network. Resolves when the reply may leave: a lease is durable
 * then. Leases are chosen before the first await, so answers keep the order of their messages.
 * Rejects with INVALID for malformed options, UNAVAILABLE when a lease can't be stored: both mean silence.
 */
export async function answerDhcp(message: DhcpMessage, site: DhcpSite): Promise<DhcpAnswer> {
  const request = readRequest(message, site.network.name, [...site.subnets.keys()]);
  if (!request) return { outcome: "ignored", reason: "no request to this network", events: [] };
  const client = identifyBootClient(message);
  const decision = site.answers.answer(client, "dhcp", site.network.name);
  const isGivingUp = request.kind === "release" || request.kind === "decline";
  if (decision.kind === "ignore" && !isGivingUp) {
    const seen = { mac: client.mac, network: site.network.name, client, decision: decision.kind };
    const events = [{ ...seen, stage: "refused" as const, reason: "unknown-machine" }];
    return { outcome: "ignored", reason: "unknown machine", events };
  }
  const verdict = judge(request, site.leases, site.network.address);
  switch (verdict.kind) {
    case "release":
    case "decline":
      return giveUp(request, verdict, site.leases);
    case "silence":
      return { outcome: "ignored", reason: verdict.reason, events: whyNot(request, client, site, verdict.seenAs) };
    case "nak": {
      const reply = buildNak(message, site.network.address, verdict.reason);
      return { outcome: "refused", reason: verdict.reason, reply, events: [] };
    }
    case "inform":
      return { ...tell(request, client, decision, site, "ack"), outcome: "informed", events: [] };
    case "offer":
      return {
        ...tell(request, client, decision, site, "offer", verdict.address, granted(request, verdict.address, site)),
        outcome: "offered",
      };
    case "bind": {
      const type = request.kind === "bootp" ? undefined : "ack";
      const seconds = granted(request, verdict.address, site);
      const told = await site.leases.bind(request.owner, verdict.address, seconds, claimOf(message));
      const outcome = told < seconds ? "bound as before, the renewal can't be stored" : "bound";
      return { ...tell(request, client, decision, site, type, verdict.address, told), outcome };
    }
  }
}

function granted({ owner }: DhcpRequest, address: Ipv4, { leases, network }: DhcpSite): number {
  return leases.grantedSeconds(owner, address, network.leaseSeconds);
}

/** An OS is no boot: what it is refused says nothing about one. */
function whyNot(
  { serverId }: DhcpRequest,
  client: BootClient,
  { network }: DhcpSite,
  reason: Extract<Verdict, { kind: "silence" }>["seenAs"],
): DhcpAnswer["events"] {
  if (!reason || client.stage === "os") return [];
  const other = reason === "other-dhcp-server" && serverId ? { address: serverId } : {};
  return [{ mac: client.mac, network: network.name, client, ...other, stage: "refused", reason }];
}

function tell(
  { message, subnet }: DhcpRequest,
  client: BootClient,
  decision: BootDecision,
  site: DhcpSite,
  type: "offer" | "ack" | undefined,
  address?: Ipv4,
  leaseSeconds = site.network.leaseSeconds,
): Omit<DhcpAnswer, "outcome"> {
  const boot = bootFields(message, client, decision, site.network);
  const parameters = site.subnets.get(subnet) ?? new Map();
  const content = {
    boot,
    parameters,
    leaseSeconds,
    ...(type ? { type } : {}),
    ...(address ? { yiaddr: address } : {}),
  };
  const seen = {
    mac: client.mac,
    network: site.network.name,
    client,
    decision: decision.kind,
    ...(address ? { address } : {}),
    ...(type === "offer" ? {} : { acknowledged: true as const }),
    ...(client.firmware ? { firmware: client.firmware } : {}),
  };
  const file = loaderFacts(decision);
  const refusal = decision.kind === "refuse" ? [{ ...seen, stage: "refused" as const, reason: decision.reason }] : [];
  return {
    reply: buildReply(message, site.network, content),
    events: [{ ...seen, ...file, stage: `dhcp-${client.stage}` as const }, ...refusal],
    ...(address ? { address } : {}),
  };
}

/** What the timeline keeps of the loader that a client was told to fetch. */
export function loaderFacts(decision: BootDecision): Pick<BootEvent, "file" | "why"> {
  if (decision.kind !== "loader") return {};
  return { file: decision.file, ...(decision.why ? { why: decision.why } : {}) };
}

async function giveUp(
  { owner }: DhcpRequest,
  { kind, address }: Extract<Verdict, { kind: "release" | "decline" }>,
  leases: LeaseTable,
): Promise<DhcpAnswer> {
  if (kind === "release") {
    const outcome = (await leases.release(owner, address)) ? "released" : "release ignored";
    return { outcome, address, events: [] };
  }
  const result = await leases.decline(owner, address);
  if (result === "not-theirs") return { outcome: "decline ignored", address, events: [] };
  const event = { mac: owner.mac, stage: "refused" as const, address, reason: "address-conflict" };
  return { outcome: "declined", reason: result, address, events: [event] };
}

function claimOf(message: DhcpMessage): LeaseClaim {
  const hostname = tryReadOption(message.options, OPTION.hostName);
  const clientId = message.options.get(OPTION.clientId.code);
  return {
    ...(hostname ? { hostname } : {}),
    ...(clientId ? { clientId: Buffer.from(clientId).toString("hex") } : {}),
  };
}
