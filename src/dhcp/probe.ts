import { randomBytes, randomInt } from "node:crypto";
import type { RemoteInfo, Socket } from "node:dgram";
import type { Clock } from "../clock.ts";
import { ANY_IPV4, BROADCAST_IPV4, type Ipv4 } from "../values/ipv4.ts";
import { formatMac, type Mac, macBytes } from "../values/mac.ts";
import { decodeDhcp } from "../wire/dhcp/decode.ts";
import { encodeDhcp } from "../wire/dhcp/encode.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../wire/dhcp/message-type.ts";
import { tryReadOption, writeOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import { SERVER_PORT } from "../wire/dhcp/protocol.ts";

/** A lost datagram is asked again after this time. */
const REPEAT_MS = 1000;

export type Probe = {
  /** Bound to port 68 of the network's interface, with the right to broadcast. */
  socket: Socket;
  /** The client that the probe pretends to be. */
  mac: Mac;
  /** The appliance's address there. */
  address: Ipv4;
  /** How long answers are waited for. */
  windowMs: number;
  /** Told at once of each server that answers, ours included. */
  onServer: (server: Ipv4) => void;
  clock: Clock;
  signal: AbortSignal;
};

/** A hardware address that no card has: locally administered (IEEE 802c), random. */
export function randomMac(): Mac {
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] as number) & 0xfc) | 0x02;
  return formatMac(bytes);
}

/**
 * Asks for DHCP servers as a client would, and resolves when the window is over. Two questions: a DISCOVER, which servers
 * may hold back while they ping the address that they are about to offer (3 s for dnsmasq), and an INFORM, which they
 * answer at once if they answer it at all. Rejects when it can't send, or with the signal's reason.
 */
export async function probeServers({ socket, mac, address, windowMs, onServer, clock, signal }: Probe): Promise<void> {
  const questions = [question(mac, "discover", ANY_IPV4), question(mac, "inform", address)];
  const onMessage = (bytes: Buffer, _from: RemoteInfo) => {
    const server = serverOf(bytes, questions);
    if (server) onServer(server);
  };
  socket.on("message", onMessage);
  try {
    for (let waitedMs = 0; waitedMs < windowMs; waitedMs += REPEAT_MS) {
      if (waitedMs <= REPEAT_MS) for (const message of questions) await send(socket, message);
      await clock.sleep(Math.min(REPEAT_MS, windowMs - waitedMs), signal);
    }
  } finally {
    socket.off("message", onMessage);
  }
}

function question(mac: Mac, type: "discover" | "inform", ciaddr: Ipv4): DhcpMessage {
  const options = new Map();
  writeOption(options, OPTION.messageType, MESSAGE_TYPE[type]);
  writeOption(options, OPTION.parameterRequestList, [OPTION.subnetMask.code, OPTION.router.code]);
  return {
    op: "request",
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: randomInt(2 ** 32),
    secs: 0,
    broadcast: true,
    ciaddr,
    yiaddr: ANY_IPV4,
    siaddr: ANY_IPV4,
    giaddr: ANY_IPV4,
    chaddr: macBytes(mac),
    sname: "",
    file: "",
    dhcp: true,
    options,
  };
}

/** The server that this datagram is from, if it answers one of the questions and gives or confirms an address: a proxy does not. */
function serverOf(bytes: Buffer, questions: DhcpMessage[]): Ipv4 | undefined {
  try {
    const message = decodeDhcp(bytes);
    const asked = questions.find(({ xid }) => xid === message.xid);
    if (message.op !== "reply" || !asked) return undefined;
    const isProxy = asked.ciaddr === ANY_IPV4 && message.yiaddr === ANY_IPV4;
    return isProxy ? undefined : tryReadOption(message.options, OPTION.serverId);
  } catch {
    return undefined; // no DHCP
  }
}

function send(socket: Socket, message: DhcpMessage): Promise<void> {
  return new Promise((resolve, reject) =>
    socket.send(encodeDhcp(message), SERVER_PORT, BROADCAST_IPV4, (error) => (error ? reject(error) : resolve())),
  );
}
