import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

export type ConnectionLimits = {
  /** Of all addresses together. */
  connections: number;
  connectionsPerAddress: number;
};

/**
 * Holds the connections of a server within their limits. A new one is let in at the cost of another: of the one that has
 * been idle for longest, by a request that never comes or never ends; else, of the oldest of the address that has most.
 * It is turned away only where neither can be.
 */
export function limitConnections(server: Server, limits: ConnectionLimits): void {
  const open = new Connections(limits);
  server.on("connection", (socket: Socket) => open.add(socket));
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    open.busy(request.socket);
    response.once("finish", () => open.idle(request.socket));
  });
}

class Connections {
  readonly #limits: ConnectionLimits;
  /** By address; in each set, as in `#idle`, the oldest first. */
  readonly #byAddress = new Map<string, Set<Socket>>();
  readonly #idle = new Set<Socket>();
  #count = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  add(socket: Socket): void {
    const address = socket.remoteAddress ?? "";
    const ofAddress = this.#byAddress.get(address) ?? new Set();
    if (ofAddress.size >= this.#limits.connectionsPerAddress && !this.#close(this.#idleOf(ofAddress))) {
      socket.destroy();
      return;
    }
    if (
      this.#count >= this.#limits.connections &&
      !this.#close(this.#first(this.#idle) ?? this.#ofGreedier(ofAddress))
    ) {
      socket.destroy();
      return;
    }
    this.#byAddress.set(address, ofAddress.add(socket));
    this.#idle.add(socket);
    this.#count++;
    socket.once("close", () => this.#remove(address, socket));
  }

  busy(socket: Socket): void {
    this.#idle.delete(socket);
  }

  idle(socket: Socket): void {
    if (!socket.destroyed) this.#idle.add(socket);
  }

  #close(socket: Socket | undefined): boolean {
    if (!socket) return false;
    // Its "close" comes later, and until then it must not be chosen again.
    this.#remove(socket.remoteAddress ?? "", socket);
    socket.destroy();
    return true;
  }

  #remove(address: string, socket: Socket): void {
    this.#idle.delete(socket);
    const ofAddress = this.#byAddress.get(address);
    if (!ofAddress?.delete(socket)) return;
    this.#count--;
    if (ofAddress.size === 0) this.#byAddress.delete(address);
  }

  #idleOf(sockets: Set<Socket>): Socket | undefined {
    for (const socket of sockets) if (this.#idle.has(socket)) return socket;
    return undefined;
  }

  /** The oldest connection of the address that has most, if those are more than `others` would be with one more. */
  #ofGreedier(others: Set<Socket>): Socket | undefined {
    let most = new Set<Socket>();
    for (const sockets of this.#byAddress.values()) if (sockets.size > most.size) most = sockets;
    return most.size > others.size + 1 ? this.#first(most) : undefined;
  }

  #first(sockets: Set<Socket>): Socket | undefined {
    return sockets.values().next().value;
  }
}
