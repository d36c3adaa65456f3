import type { Socket } from "node:dgram";
import { EventEmitter } from "node:events";
import { decodeDhcp } from "../../../src/wire/dhcp/decode.ts";
import type { DhcpMessage } from "../../../src/wire/dhcp/message.ts";

/** Where a reply was sent, and what it said. */
export type Sent = { to: string; bytes: Buffer; message: DhcpMessage };

/** The part of a UDP socket that a server uses, without a network. */
export class SocketStandIn extends EventEmitter {
  readonly sent: Sent[] = [];
  closed = false;
  /** What the next sends fail with. */
  failure: Error | null = null;

  send(bytes: Buffer, port: number, address: string, done: (error: Error | null) => void): void {
    if (!this.failure) this.sent.push({ to: `${address}:${port}`, bytes, message: decodeDhcp(bytes) });
    done(this.failure);
  }

  close(done: () => void): void {
    this.closed = true;
    done();
  }

  /** A datagram arrives. */
  deliver(bytes: Buffer): void {
    this.emit("message", bytes, { address: "0.0.0.0", port: 68, family: "IPv4", size: bytes.length });
  }

  asSocket(): Socket {
    return this as unknown as Socket;
  }
}
