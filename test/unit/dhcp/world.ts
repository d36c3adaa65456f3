import type { BootAnswers } from "../../../src/boot/boot-answers.ts";
import type { BootDecision } from "../../../src/boot/boot-decision.ts";
import type { NetworkConfig } from "../../../src/config/schema.ts";
import { answerDhcp, dhcpSite } from "../../../src/dhcp/answer.ts";
import { ANY_IPV4, type Ipv4 } from "../../../src/values/ipv4.ts";
import { macBytes } from "../../../src/values/mac.ts";
import type { DhcpMessage } from "../../../src/wire/dhcp/message.ts";
import { MESSAGE_TYPE, type MessageTypeName, messageTypeName } from "../../../src/wire/dhcp/message-type.ts";
import { readOption, writeOption } from "../../../src/wire/dhcp/option.ts";
import { OPTION } from "../../../src/wire/dhcp/options.ts";
import { leaseWorld, macOf, rack } from "../leases/world.ts";

export type Wishes = {
  machine?: number;
  requested?: Ipv4;
  serverId?: Ipv4;
  /** Option 55. */
  wanted?: number[];
  options?: [code: number, value: Uint8Array][];
} & Partial<Pick<DhcpMessage, "ciaddr" | "giaddr" | "broadcast" | "dhcp">>;

/** A message of machine 1 (or another), as a client at rest would send it. Without `type`: BOOTP. */
export function request(type: MessageTypeName | undefined, wishes: Wishes = {}): DhcpMessage {
  const { machine = 1, requested, serverId, wanted, options = [], ...header } = wishes;
  const message: DhcpMessage = {
    op: "request",
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: 0xfeedbeef,
    secs: 0,
    broadcast: false,
    ciaddr: ANY_IPV4,
    yiaddr: ANY_IPV4,
    siaddr: ANY_IPV4,
    giaddr: ANY_IPV4,
    chaddr: macBytes(macOf(machine)),
    sname: "",
    file: "",
    dhcp: true,
    options: new Map(options),
    ...header,
  };
  if (type) writeOption(message.options, OPTION.messageType, MESSAGE_TYPE[type]);
  if (requested) writeOption(message.options, OPTION.requestedAddress, requested);
  if (serverId) writeOption(message.options, OPTION.serverId, serverId);
  if (wanted) writeOption(message.options, OPTION.parameterRequestList, wanted);
  return message;
}

/** One network with its leases and answers. `decision` may be changed at any time. */
export function dhcpWorld(network: NetworkConfig = rack()) {
  const world = leaseWorld(network);
  const policy: { decision: BootDecision } = { decision: { kind: "none" } };
  const answers: BootAnswers = {
    answer: () => policy.decision,
    owns: () => false,
    reports: () => false,
    ownerOf: () => undefined,
  };
  const site = dhcpSite(network, world.leases, answers);
  const ask = (message: DhcpMessage) => answerDhcp(message, site);
  /** The answer in short: `ack 10.0.0.10`, `nak`, or why there is none. */
  const brief = async (message: DhcpMessage) => {
    const { reply, outcome, reason } = await ask(message);
    if (!reply) return reason ?? outcome;
    const type = readOption(reply.options, OPTION.messageType);
    const name = type === undefined ? "bootreply" : messageTypeName(type);
    return reply.yiaddr === ANY_IPV4 ? String(name) : `${name} ${reply.yiaddr}`;
  };
  return { ...world, network, policy, site, ask, brief };
}
