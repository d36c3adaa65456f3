import type { NetworkConfig } from "../config/schema.ts";
import { ApplianceError, isApplianceError } from "../errors.ts";
import { ANY_IPV4, type Ipv4 } from "../values/ipv4.ts";
import { encodeDhcp } from "../wire/dhcp/encode.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../wire/dhcp/message-type.ts";
import { tryReadOption, writeOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import { DEFAULT_MAX_BYTES, IP_UDP_BYTES } from "../wire/dhcp/protocol.ts";
import type { Options } from "../wire/dhcp/tlv.ts";
import type { BootFields } from "./boot-options.ts";
import { requestedOptions } from "./network-options.ts";

/** UDP payload of a full Ethernet frame: more would leave in fragments, which boot ROMs don't join. */
const ETHERNET_MAX_BYTES = 1500 - IP_UDP_BYTES;

/** Never left out, however short of room a reply is: without them it is no answer, or no boot. */
const ESSENTIAL = new Set(
  [
    OPTION.messageType,
    OPTION.serverId,
    OPTION.leaseSeconds,
    OPTION.subnetMask,
    OPTION.vendorClass,
    OPTION.vendorSpecific,
    OPTION.machineId,
    OPTION.bootFileName,
    OPTION.ipxe,
    OPTION.clientId,
    OPTION.relayAgent,
  ].map((option) => option.code),
);

/** OFFER and ACK of an address, ACK to an INFORM (no `yiaddr`), or a BOOTREPLY (no `type`). */
export type ReplyContent = {
  type?: "offer" | "ack";
  yiaddr?: Ipv4;
  leaseSeconds: number;
  boot: BootFields;
  parameters: Options;
};

/** The reply to `request` that carries `content`; what the client did not ask for is left out of the parameters. */
export function buildReply(request: DhcpMessage, network: NetworkConfig, content: ReplyContent): DhcpMessage {
  const { type, yiaddr, leaseSeconds, boot, parameters } = content;
  const reply = emptyReply(request);
  reply.yiaddr = yiaddr ?? ANY_IPV4;
  // RFC 2131 table 3: an OFFER has no ciaddr, an ACK the client's.
  if (type !== "offer") reply.ciaddr = request.ciaddr;
  reply.siaddr = boot.siaddr;
  reply.sname = boot.sname;
  reply.file = boot.file;
  if (!request.dhcp) return reply;

  const { options } = reply;
  if (type) {
    writeOption(options, OPTION.messageType, MESSAGE_TYPE[type]);
    writeOption(options, OPTION.serverId, network.address);
  }
  if (type && yiaddr) {
    writeOption(options, OPTION.leaseSeconds, leaseSeconds);
    writeOption(options, OPTION.renewalSeconds, Math.floor(leaseSeconds / 2));
    writeOption(options, OPTION.rebindingSeconds, Math.floor((leaseSeconds * 7) / 8));
  }
  for (const [code, value] of boot.options) options.set(code, value);
  const wanted = tryReadOption(request.options, OPTION.parameterRequestList);
  for (const [code, value] of requestedOptions(parameters, wanted)) options.set(code, value);
  return echoIdentity(request, reply);
}

/** A NAK (RFC 2131 table 3: no addresses, few options). `reason` is for people who read packets. */
export function buildNak(request: DhcpMessage, serverId: Ipv4, reason: string): DhcpMessage {
  const reply = emptyReply(request);
  // RFC 2131 4.3.2: the relay must broadcast it, since the client may not own the address it uses.
  if (request.giaddr !== ANY_IPV4) reply.broadcast = true;
  writeOption(reply.options, OPTION.messageType, MESSAGE_TYPE.nak);
  writeOption(reply.options, OPTION.serverId, serverId);
  writeOption(reply.options, OPTION.message, reason);
  return echoIdentity(request, reply);
}

/**
 * The datagram of a reply, no longer than its client takes (option 57) and one Ethernet frame holds. Parameters that
 * find no room are left out, the last ones first. INTERNAL when even the rest does not fit.
 */
export function encodeReply(request: DhcpMessage, reply: DhcpMessage): Buffer {
  const accepted = (tryReadOption(request.options, OPTION.maxMessageBytes) ?? 0) - IP_UDP_BYTES;
  const maxBytes = Math.min(Math.max(accepted, DEFAULT_MAX_BYTES), ETHERNET_MAX_BYTES);
  for (let shorter = reply; ; ) {
    try {
      return encodeDhcp(shorter, { maxBytes });
    } catch (error) {
      const options = new Map(shorter.options);
      const last = [...options.keys()].findLast((code) => !ESSENTIAL.has(code));
      if (last === undefined || !isApplianceError(error, "INVALID")) {
        throw new ApplianceError("INTERNAL", "a DHCP reply can't be encoded", { cause: error });
      }
      options.delete(last);
      shorter = { ...shorter, options };
    }
  }
}

function emptyReply(request: DhcpMessage): DhcpMessage {
  const { htype, hlen, xid, broadcast, giaddr, chaddr, dhcp } = request;
  return {
    op: "reply",
    htype,
    hlen,
    hops: 0,
    xid,
    secs: 0,
    broadcast,
    ciaddr: ANY_IPV4,
    yiaddr: ANY_IPV4,
    siaddr: ANY_IPV4,
    giaddr,
    chaddr,
    sname: "",
    file: "",
    dhcp,
    options: new Map(),
  };
}

/** RFC 6842: the client id comes back. RFC 3046 2.2: so does the relay's option, as the last one. */
function echoIdentity(request: DhcpMessage, reply: DhcpMessage): DhcpMessage {
  for (const { code } of [OPTION.clientId, OPTION.relayAgent]) {
    const value = request.options.get(code);
    if (value) reply.options.set(code, value);
  }
  return reply;
}
