import type { RemoteInfo } from "node:dgram";
import type { BootAnswers } from "../boot/boot-answers.ts";
import type { BootClient } from "../boot/boot-client.ts";
import type { BootDecision } from "../boot/boot-decision.ts";
import type { BootTokens } from "../boot/boot-token.ts";
import { identifyBootClient } from "../boot/identify-boot-client.ts";
import type { NetworkConfig } from "../config/schema.ts";
import { ANY_IPV4, type Ipv4, subnetContains } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../wire/dhcp/message-type.ts";
import { tryReadOption, writeOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import { PXE_OPTION } from "../wire/dhcp/pxe-options.ts";
import type { Options } from "../wire/dhcp/tlv.ts";
import { type DhcpAnswer, loaderFacts } from "./answer.ts";
import { type BootFields, bootFields, describeBootServer } from "./boot-options.ts";
import { buildReply } from "./reply.ts";

/** What boot answers without addresses are made of. */
export type ProxySite = {
  network: NetworkConfig;
  answers: BootAnswers;
  /** Whether a node has this NIC. */
  isNode: (mac: Mac) => boolean;
  tokens: BootTokens;
};

const ignored = (reason: string): DhcpAnswer => ({ outcome: "ignored", reason, events: [] });

/**
 * The answer of a ProxyDHCP server on port 67 (PXE 2.1, 2.2.3): to the DISCOVER of a machine that boots, an OFFER with
 * what to boot and no address; the address is in another server's. Everything else is that server's business. The offer is
 * complete, so that firmware need not ask port 4011 for the rest.
 */
export async function answerProxy(message: DhcpMessage, site: ProxySite): Promise<DhcpAnswer> {
  const type = tryReadOption(message.options, OPTION.messageType);
  if (type === MESSAGE_TYPE.request) return follow(message, site);
  if (type !== MESSAGE_TYPE.discover) return ignored("not for a proxy");
  const answer = bootAnswer(message, "offer", site, message.giaddr);
  // a relay can't send to a client without an address but by broadcast
  if (answer.reply && message.giaddr !== ANY_IPV4) answer.reply.broadcast = true;
  return answer;
}

/**
 * The answer on port 4011, where firmware asks a boot server (PXE 2.1, 2.2.4) or a proxy for what its offer did not say;
 * some ROMs ask although the offer was complete. It goes to the machine's own address (`ciaddr`) where the question came
 * from there or that is in one of the network's subnets: nobody has us send to anywhere else.
 */
export async function answerBootServer(message: DhcpMessage, from: RemoteInfo, site: ProxySite): Promise<DhcpAnswer> {
  const type = tryReadOption(message.options, OPTION.messageType);
  if (type !== MESSAGE_TYPE.request && type !== MESSAGE_TYPE.inform) return ignored("not for a boot server");
  const source = from.address as Ipv4;
  const to = message.ciaddr === ANY_IPV4 ? source : message.ciaddr;
  const { subnet, relayedSubnets } = site.network;
  const isOurs = [subnet, ...relayedSubnets.map((one) => one.subnet)].some((one) => subnetContains(one, to));
  if (to !== source && !isOurs) return ignored("foreign ciaddr");
  return { ...bootAnswer(message, "ack", site, to, to), to: { address: to, port: from.port } };
}

/**
 * `to` is where the answer goes: a machine behind a relay, or its relay. A boot token goes into the subnets alone that
 * the configuration names, or whoever reaches our port from anywhere would be told one for any machine.
 */
function bootAnswer(
  message: DhcpMessage,
  type: "offer" | "ack",
  { network, answers, isNode, tokens }: ProxySite,
  to: Ipv4,
  address?: Ipv4,
): DhcpAnswer {
  if (message.op !== "request" || message.htype !== 1 || message.hlen !== 6) return ignored("no request");
  const client = identifyBootClient(message);
  if (client.stage === "os") return ignored("no boot");
  const decision = answers.answer(client, "dhcp", network.name);
  const events = eventsOf(client, decision, network.name, address);
  // the next boot device of a machine that nobody registered may be another PXE server: it is seen, and left alone
  if (decision.kind === "exit" && !isNode(client.mac)) return { ...ignored("unknown machine"), events };
  const isRelayed = network.relayedSubnets.some(({ subnet }) => subnetContains(subnet, to));
  const token = isRelayed ? tokens.issue(client.mac, network.name) : undefined;
  const boot = bootFields(message, client, decision, network, token);
  const isSilent = boot.file === "" && boot.options.size === 0;
  if (!isSilent) completeFields(message, client, boot);
  return {
    outcome: isSilent ? "ignored" : type === "offer" ? "offered" : "informed",
    ...(isSilent ? { reason: `nothing to boot: ${decision.kind}` } : {}),
    ...(isSilent
      ? {}
      : { reply: buildReply(message, network, { type, boot, leaseSeconds: 0, parameters: new Map() }) }),
    ...(address ? { address } : {}),
    events,
  };
}

/** What a proxy's answer needs beyond a server's: all its clients know it by option 60, iPXE too. */
function completeFields(message: DhcpMessage, client: BootClient, { options }: BootFields): void {
  if (!options.has(OPTION.vendorClass.code)) {
    describeBootServer(message, client.vendorClass?.startsWith("HTTPClient") ?? false, options);
  }
  // it says that there is no proxy
  options.delete(OPTION.ipxe.code);
  const chosen = tryReadOption(message.options, OPTION.vendorSpecific)?.get(PXE_OPTION.bootItem.code);
  const vendor = tryReadOption(options, OPTION.vendorSpecific);
  if (!chosen || !vendor) return;
  const echoed: Options = new Map([...vendor, [PXE_OPTION.bootItem.code, chosen]]);
  writeOption(options, OPTION.vendorSpecific, echoed);
}

/** A machine that boots takes another server's address: the timeline learns which. */
function follow(message: DhcpMessage, { network, answers, isNode }: ProxySite): DhcpAnswer {
  const client = identifyBootClient(message);
  const address = tryReadOption(message.options, OPTION.requestedAddress);
  if (client.stage === "os" || !address || !isNode(client.mac)) return ignored("meant for another server");
  const decision = answers.answer(client, "dhcp", network.name);
  return { ...ignored("meant for another server"), events: eventsOf(client, decision, network.name, address) };
}

function eventsOf(client: BootClient, decision: BootDecision, network: string, address?: Ipv4): DhcpAnswer["events"] {
  const seen = {
    mac: client.mac,
    network,
    client,
    decision: decision.kind,
    ...(address ? { address, acknowledged: true as const } : {}),
    ...(client.firmware ? { firmware: client.firmware } : {}),
  };
  if (decision.kind === "ignore") return [{ ...seen, stage: "refused", reason: "unknown-machine" }];
  const file = loaderFacts(decision);
  const refusal = decision.kind === "refuse" ? [{ ...seen, stage: "refused" as const, reason: decision.reason }] : [];
  return [{ ...seen, ...file, stage: `dhcp-${client.stage}` as const }, ...refusal];
}
