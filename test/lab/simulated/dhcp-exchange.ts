import type { Socket } from "node:dgram";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { type Mac, macBytes } from "../../../src/values/mac.ts";
import { decodeDhcp } from "../../../src/wire/dhcp/decode.ts";
import { encodeDhcp } from "../../../src/wire/dhcp/encode.ts";
import type { DhcpMessage } from "../../../src/wire/dhcp/message.ts";
import { MESSAGE_TYPE } from "../../../src/wire/dhcp/message-type.ts";
import { tryReadOption, writeOption } from "../../../src/wire/dhcp/option.ts";
import { OPTION } from "../../../src/wire/dhcp/options.ts";
import { dhcpPacket } from "../../fixtures/dhcp-packets.ts";

/** Firmware whose captured packets are sent. */
export type Firmware = "ipxe-rom" | "ipxe-snponly" | "ovmf-pxe" | "ovmf-http";

/** What the ACK said. */
export type Offered = { address: Ipv4; bootFile: string; retransmissions: number };

const FIRST_WAIT_MS = 1000;
const TRIES = 6;

/** DHCP for many simulated machines through one socket on port 68: who is meant is told by the transaction id. */
export class DhcpExchange {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (reply: DhcpMessage) => void>();
  readonly #captured = new Map<string, Buffer>();
  #lastXid = Math.floor(Math.random() * 0x7fff_0000);

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (bytes) => {
      const reply = decodeDhcp(bytes);
      if (reply.op === "reply") this.#waiting.get(reply.xid)?.(reply);
    });
  }

  /** DISCOVER to ACK, as this firmware asks, with its doubling waits. Rejects when nobody answers. */
  async acquire(mac: Mac, firmware: Firmware): Promise<Offered> {
    this.#lastXid += 1;
    const xid = this.#lastXid;
    const offer = await this.#ask(this.#message(`${firmware}-discover`, mac, xid), MESSAGE_TYPE.offer);
    const request = this.#message(`${firmware}-request`, mac, xid);
    writeOption(request.options, OPTION.requestedAddress, offer.reply.yiaddr);
    writeOption(request.options, OPTION.serverId, tryReadOption(offer.reply.options, OPTION.serverId) as Ipv4);
    const { reply, tries } = await this.#ask(request, MESSAGE_TYPE.ack);
    return {
      address: reply.yiaddr,
      bootFile: tryReadOption(reply.options, OPTION.bootFileName) || reply.file,
      retransmissions: offer.tries + tries - 2,
    };
  }

  #message(fixture: string, mac: Mac, xid: number): DhcpMessage {
    const bytes = this.#captured.get(fixture) ?? dhcpPacket(fixture).bytes;
    this.#captured.set(fixture, bytes);
    const message = decodeDhcp(bytes);
    message.options.delete(OPTION.clientId.code);
    return { ...message, xid, chaddr: macBytes(mac), broadcast: true };
  }

  async #ask(request: DhcpMessage, type: number): Promise<{ reply: DhcpMessage; tries: number }> {
    const bytes = encodeDhcp(request, { maxBytes: 1472 });
    for (let tries = 1; tries <= TRIES; tries++) {
      const reply = await new Promise<DhcpMessage | undefined>((resolve) => {
        const timer = setTimeout(() => resolve(undefined), FIRST_WAIT_MS * 2 ** (tries - 1));
        this.#waiting.set(request.xid, (heard) => {
          if (tryReadOption(heard.options, OPTION.messageType) !== type) return;
          clearTimeout(timer);
          resolve(heard);
        });
        this.#socket.send(bytes, 67, "255.255.255.255");
      });
      this.#waiting.delete(request.xid);
      if (reply) return { reply, tries };
    }
    throw new Error(`no DHCP answer of type ${type} after ${TRIES} tries`);
  }
}
