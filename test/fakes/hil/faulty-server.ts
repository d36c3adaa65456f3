import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Faults, withFault } from "./faults.ts";

/** One call as it came. */
export type Seen = { method: string; path: string; body: string; authorization: string | undefined };

/** An HTTP server on a loopback port of its own, which notes each call and answers it, or does what a fault says. */
export abstract class FaultyServer {
  readonly faults = new Faults();
  readonly seen: Seen[] = [];
  /** How many calls were under way at once, at most. */
  busiest = 0;
  #busy = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  /** Does a call; answers what sends its answer. */
  protected abstract handle(call: Seen, request: IncomingMessage, response: ServerResponse): Promise<() => void>;

  /** On a port that is free, unless one is named. */
  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** As one that is started anew: all connections are cut. */
  restart(): void {
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.busiest = Math.max(this.busiest, ++this.#busy);
    response.once("close", () => this.#busy--);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url: path = "", headers } = request;
    const call = { method, path, body: Buffer.concat(chunks).toString(), authorization: headers.authorization };
    this.seen.push(call);
    const handle = () => this.handle(call, request, response);
    const fault = this.faults.meet(`${method} ${path}`);
    if (fault) await withFault(fault, handle, request, response);
    else (await handle())();
  }
}
