import dgram from "node:dgram";
import { once } from "node:events";

/**
 * Carries TFTP between clients and a server on loopback and loses packets on the way, `loss` of 1 in each direction:
 * the same ones for the same seed, request packets included. What netem does, where the kernel has no netem.
 */
export class LossyProxy {
  lost = 0;
  readonly #front: dgram.Socket;
  readonly #sockets: dgram.Socket[] = [];
  readonly #clients = new Map<string, Promise<(bytes: Buffer) => void>>();
  readonly #serverPort: number;
  readonly #loss: number;
  #random: number;

  private constructor(front: dgram.Socket, serverPort: number, loss: number, seed: number) {
    this.#front = front;
    this.#serverPort = serverPort;
    this.#loss = loss;
    this.#random = seed;
    front.on("message", (bytes, from) => {
      const key = `${from.address}:${from.port}`;
      const path = this.#clients.get(key) ?? this.#pathOf(from.address, from.port);
      this.#clients.set(key, path);
      if (!this.#loses()) void path.then((toServer) => toServer(bytes));
    });
  }

  static async open(port: number, serverPort: number, loss: number, seed = 1): Promise<LossyProxy> {
    return new LossyProxy(await bound(port), serverPort, loss, seed);
  }

  close(): void {
    this.#front.close();
    for (const socket of this.#sockets) socket.close();
  }

  /** One client's two sockets: the server sees one as the client, the client sees the other as the transfer's port. */
  async #pathOf(address: string, port: number): Promise<(bytes: Buffer) => void> {
    const asClient = await bound(0);
    const asServer = await bound(0);
    this.#sockets.push(asClient, asServer);
    let transferPort = this.#serverPort;
    asClient.on("message", (bytes, from) => {
      transferPort = from.port;
      if (!this.#loses()) asServer.send(bytes, port, address);
    });
    asServer.on("message", (bytes) => {
      if (!this.#loses()) asClient.send(bytes, transferPort, "127.0.0.1");
    });
    return (bytes) => asClient.send(bytes, this.#serverPort, "127.0.0.1");
  }

  #loses(): boolean {
    this.#random = (Math.imul(this.#random, 1103515245) + 12345) >>> 0;
    const loses = this.#random / 2 ** 32 < this.#loss;
    if (loses) this.lost++;
    return loses;
  }
}

async function bound(port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket({ type: "udp4", recvBufferSize: 1024 * 1024 });
  socket.bind(port, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}
