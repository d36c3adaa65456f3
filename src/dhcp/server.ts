import type { RemoteInfo, Socket } from "node:dgram";
import type { BootEventSink } from "../boot/boot-event.ts";
import type { Clock } from "../clock.ts";
import type { NetworkConfig } from "../config/schema.ts";
import { isApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import { formatMac, type Mac } from "../values/mac.ts";
import { decodeDhcp } from "../wire/dhcp/decode.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../wire/dhcp/message-type.ts";
import { tryReadOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import { CHADDR_OFFSET } from "../wire/dhcp/protocol.ts";
import type { DhcpAnswer } from "./answer.ts";
import { Intake } from "./intake.ts";
import { PacketLog } from "./packet-log.ts";
import { encodeReply } from "./reply.ts";
import { type Destination, replyDestination } from "./reply-destination.ts";

/** Answers that wait for the disk at a time; beyond it packets are dropped, and clients ask again. */
const MOST_WAITING = 10_000;
/** Of them, those to strangers: while the disk stands still, a flood takes no node's place. */
const MOST_STRANGERS_WAITING = 8_000;

/** What a DHCP server on one socket needs. */
export type DhcpServerOptions = {
  network: NetworkConfig;
  /** Bound to the network's interface, with the right to broadcast. The server closes it. */
  socket: Socket;
  /** Makes the answer to each message, as `answerDhcp` does; `from` is where the datagram came from. */
  answer: (message: DhcpMessage, from: RemoteInfo) => Promise<DhcpAnswer>;
  events: BootEventSink;
  /** Whether a node has this NIC: such are served when not all can be. */
  isNode: (mac: Mac) => boolean;
  log: Log;
  clock: Clock;
};

/** What happened so far; only ever grows, `waiting` excepted. */
export type DhcpCounters = {
  received: number;
  replied: number;
  /** Packets that were no DHCP, or that were not meant for us, or that policy leaves unanswered. */
  ignored: number;
  /** Answers that could not be made, stored or sent. */
  failed: number;
  /** Dropped because too many answers waited for the disk. */
  dropped: number;
  /** Dropped because their client sent too many. */
  limited: number;
  /** Strangers' requests that were dropped while more came than could be answered. */
  shed: number;
  /** Requests taken and not answered yet. A watchdog: stuck if this is not 0 and the others stand still. */
  waiting: number;
};

export type DhcpServer = {
  readonly counters: Readonly<DhcpCounters>;
  /** Takes no more packets, sends what is in the making, closes the socket. May be called twice. */
  stop(): Promise<void>;
};

/** Serves one network through one socket until stopped. No packet makes it throw. */
export function startDhcpServer(options: DhcpServerOptions): DhcpServer {
  const { network, socket, events, clock } = options;
  const log = options.log.child({ component: "dhcp", network: network.name });
  const none = { received: 0, replied: 0, ignored: 0, failed: 0, dropped: 0, limited: 0, shed: 0 };
  const counters: DhcpCounters = { ...none, waiting: 0 };
  const waiting = new Set<Promise<void>>();
  const told = new PacketLog(log, clock);
  const intake = new Intake({
    serve: begin,
    isNode: options.isNode,
    onDropped: (why, mac) => {
      counters[why]++;
      told.drop(counters, mac);
    },
    clock,
  });

  const onMessage = (bytes: Buffer, from: RemoteInfo) => {
    counters.received++;
    intake.take(bytes, from);
    counters.waiting = waiting.size + intake.queued;
  };

  function begin(bytes: Buffer, from: RemoteInfo, fromNode: boolean): void {
    if (waiting.size >= (fromNode ? MOST_WAITING : MOST_STRANGERS_WAITING)) {
      counters.dropped++;
      told.drop(counters, formatMac(bytes, CHADDR_OFFSET));
      return;
    }
    const done = serve(bytes, from).finally(() => {
      waiting.delete(done);
      counters.waiting = waiting.size + intake.queued;
    });
    waiting.add(done);
    counters.waiting = waiting.size + intake.queued;
  }

  async function serve(bytes: Buffer, from: RemoteInfo): Promise<void> {
    let facts: Record<string, unknown> = { from: from.address };
    try {
      const message = decodeDhcp(bytes);
      facts = { mac: formatMac(message.chaddr), xid: message.xid.toString(16).padStart(8, "0") };
      const answer = await options.answer(message, from);
      const { outcome, reason, address, reply } = answer;
      if (reply) await send(message, reply, answer.to);
      if (!reply) counters.ignored++;
      // one line per binding: an offer is nothing yet
      const isQuiet = outcome === "ignored" || outcome === "offered";
      told.packet(isQuiet ? "debug" : "info", { ...facts, address, reason }, `dhcp: ${outcome}`);
      report(answer);
    } catch (error) {
      const isMalformed = isApplianceError(error, "INVALID");
      counters[isMalformed ? "ignored" : "failed"]++;
      told.packet(isMalformed ? "debug" : "warn", { ...facts, err: error }, "dhcp: not answered");
    }
  }

  function send(request: DhcpMessage, reply: DhcpMessage, to?: Destination): Promise<void> {
    const isNak = tryReadOption(reply.options, OPTION.messageType) === MESSAGE_TYPE.nak;
    const { address, port } = to ?? replyDestination({ giaddr: reply.giaddr, ciaddr: reply.ciaddr, isNak });
    const bytes = encodeReply(request, reply);
    return new Promise((resolve, reject) =>
      socket.send(bytes, port, address, (error) => {
        if (error) return reject(error);
        counters.replied++;
        resolve();
      }),
    );
  }

  function report(answer: DhcpAnswer): void {
    for (const event of answer.events) events({ ...event, at: clock.now() });
  }

  socket.on("message", onMessage);
  socket.on("error", (error) => log.error({ err: error }, "dhcp: socket failed"));
  let stopped: Promise<void> | undefined;
  return {
    counters,
    stop() {
      stopped ??= (async () => {
        socket.off("message", onMessage);
        intake.drain();
        await Promise.all(waiting);
        await new Promise<void>((resolve) => socket.close(() => resolve()));
      })();
      return stopped;
    },
  };
}
