import dgram from "node:dgram";
import { once } from "node:events";
import { decodeTftp, encodeTftp, type TftpPacket } from "../../../src/wire/tftp/packet.ts";

export type Heard = { packet: TftpPacket; address: string; port: number };

/** A TFTP client that says exactly what a test tells it to, and queues what it hears. */
export class TftpProbe {
  readonly heard: Heard[] = [];
  readonly #socket: dgram.Socket;
  readonly #server: { address: string; port: number };
  #wake: () => void = () => {};

  private constructor(socket: dgram.Socket, server: { address: string; port: number }) {
    this.#socket = socket;
    this.#server = server;
    socket.on("message", (bytes, from) => {
      this.heard.push({ packet: decodeTftp(Buffer.from(bytes)), address: from.address, port: from.port });
      this.#wake();
    });
  }

  static async open(server: { address?: string; port: number }, address = "127.0.0.1"): Promise<TftpProbe> {
    const socket = dgram.createSocket("udp4");
    socket.bind(0, address);
    await once(socket, "listening");
    return new TftpProbe(socket, { address: server.address ?? "127.0.0.1", port: server.port });
  }

  /** Sends to the server's request port, or to a transfer's port. */
  send(packet: TftpPacket | Buffer, port = this.#server.port): void {
    this.#socket.send(Buffer.isBuffer(packet) ? packet : encodeTftp(packet), port, this.#server.address);
  }

  request(file: string, options: Record<string, string> = {}, mode = "octet"): void {
    this.send({ type: "read", file, mode, options: new Map(Object.entries(options)) });
  }

  ack(block: number, port: number): void {
    this.send({ type: "ack", block: block & 0xffff }, port);
  }

  /** The next packet; fails after five seconds. */
  async next(): Promise<Heard> {
    const deadline = Date.now() + 5000;
    while (this.heard.length === 0) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error("nothing heard for 5 s");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.heard.shift()!;
  }

  /** Fetches a file as a simple client does, acknowledging each window once. */
  async fetch(file: string, options: Record<string, string> = {}, mode = "octet"): Promise<Buffer> {
    this.request(file, options, mode);
    const parts: Buffer[] = [];
    let blockBytes = 512;
    let windowBlocks = 1;
    for (let expected = 1; ; ) {
      const { packet, port } = await this.next();
      if (packet.type === "error") throw new Error(`ERROR ${packet.code} ${packet.message}`);
      if (packet.type === "oack") {
        blockBytes = Number(packet.options.get("blksize") ?? 512);
        windowBlocks = Number(packet.options.get("windowsize") ?? 1);
        this.ack(0, port);
      }
      if (packet.type !== "data" || packet.block !== (expected & 0xffff)) continue;
      parts.push(Buffer.from(packet.bytes));
      const last = packet.bytes.length < blockBytes;
      if (last || expected % windowBlocks === 0) this.ack(expected, port);
      if (last) return Buffer.concat(parts);
      expected++;
    }
  }

  close(): void {
    this.#socket.close();
  }
}
