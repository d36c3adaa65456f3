import type { IncomingMessage, ServerResponse } from "node:http";

/** What goes wrong with one call, once, or with all of them from there on. */
export type Fault = {
  /** Which call: method and path; the next of them all when absent. */
  call?: RegExp;
  /** Calls of that kind that still go well before it. Default 0. */
  after?: number;
  always?: boolean;
  /** Whether the call is done before its answer goes wrong. Default false. */
  done?: boolean;
  /** `conflict`: 409 of an action that another one began; `delay`: right, but late by `delayMs`. */
  answer: "html-500" | "hang" | "cut" | "conflict" | "unauthorized" | "garbage" | "delay";
  delayMs?: number;
  /** Something that happens in between: another one that wins a race. */
  meanwhile?: () => void;
};

/** The faults that a server was told to have. */
export class Faults {
  readonly #waiting: Fault[] = [];

  add(fault: Fault): void {
    this.#waiting.push({ ...fault });
  }

  clear(): void {
    this.#waiting.length = 0;
  }

  get left(): number {
    return this.#waiting.length;
  }

  /** The one that this call meets. */
  meet(call: string): Fault | undefined {
    const index = this.#waiting.findIndex((fault) => fault.call?.test(call) ?? true);
    const fault = this.#waiting[index];
    if (!fault) return undefined;
    if ((fault.after ?? 0) > 0) {
      fault.after = (fault.after ?? 0) - 1;
      return undefined;
    }
    if (!fault.always) this.#waiting.splice(index, 1);
    return fault;
  }
}

/** Runs a call with its fault; `handle` does it and answers what would be sent. */
export async function withFault(
  fault: Fault,
  handle: () => Promise<() => void>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = fault.done || fault.answer === "delay" ? await handle() : () => {};
  fault.meanwhile?.();
  if (fault.answer === "cut") request.socket.destroy();
  else if (fault.answer === "html-500")
    response.writeHead(500, { "content-type": "text/html" }).end("<!doctype html><title>500</title>");
  else if (fault.answer === "conflict")
    response
      .writeHead(409, { "content-type": "text/html" })
      .end('{"type": "BlockedError", "msg": "A networking operation is already active on the nic."}');
  else if (fault.answer === "unauthorized") response.writeHead(401, { "content-type": "text/html" }).end();
  else if (fault.answer === "garbage") response.writeHead(200, { "content-type": "text/html" }).end('{"status');
  else if (fault.answer === "delay") setTimeout(send, fault.delayMs ?? 0);
}
