import { createServer, type Server, type Socket } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { ApplianceError, toApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import { framed } from "./frames.ts";
import { readLines } from "./lines.ts";
import { encodeError, MAX_REQUEST_BYTES, type Request, type Response, requestSchema } from "./protocol.ts";
import type { Verb } from "./verbs.ts";

/**
 * The server side of the protocol, not listening yet. Calls of a client that goes away are aborted.
 * Arguments never reach the log: some are secrets.
 */
export function createStorageServer(verbs: Record<string, Verb>, log: Log): Server {
  return createServer((socket) => serveClient(socket, verbs, log));
}

function serveClient(socket: Socket, verbs: Record<string, Verb>, log: Log): void {
  const calls = new Map<number, AbortController>();
  const send = (response: Response) => {
    if (socket.writable) socket.write(`${JSON.stringify(response)}\n`);
  };

  const run = async (id: number, name: string, args: unknown, as: string | undefined) => {
    const started = performance.now();
    const abort = new AbortController();
    calls.set(id, abort);
    try {
      const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
      if (!verb)
        throw new ApplianceError("UNSUPPORTED", "verb: storaged does not know it", {
          details: { field: "verb", value: name },
        });
      const progress = (done: number, total: number) => send({ id, progress: [done, total] });
      const ok = await verb.run(args, { signal: abort.signal, progress, as });
      if (ok instanceof Readable) {
        if (calls.size > 1) throw new Error("bytes are asked for on a connection of their own");
        send({ id, ok: null });
        await pipeline(framed(ok), socket);
      } else {
        send({ id, ok: ok ?? null });
      }
      log.debug({ verb: name, ms: Math.round(performance.now() - started) }, "call done");
    } catch (thrown) {
      const error = thrown instanceof z.ZodError ? invalidArguments(thrown) : toApplianceError(thrown);
      send({ id, error: encodeError(error) });
      const { code, message, details, cause } = error;
      const facts = {
        verb: name,
        ms: Math.round(performance.now() - started),
        code,
        message,
        details,
        cause: String(cause ?? ""),
      };
      if (code === "INTERNAL") log.error({ ...facts, stack: (cause as Error)?.stack }, "call failed");
      else log.warn(facts, "call failed");
    } finally {
      calls.delete(id);
    }
  };

  readLines(socket, MAX_REQUEST_BYTES, (line) => {
    const request = parseRequest(line);
    if ("cancel" in request) {
      calls.get(request.cancel)?.abort(new ApplianceError("CANCELLED", "cancelled by the caller"));
    } else if (calls.has(request.id)) {
      throw new Error("the id of a call that still runs");
    } else {
      void run(request.id, request.verb, request.args, request.as);
    }
  });
  socket.on("error", (error) => log.warn({ message: error.message }, "client dropped"));
  socket.on("close", () => {
    for (const abort of calls.values()) abort.abort(new ApplianceError("CANCELLED", "the caller went away"));
  });
}

/** Throws without repeating the line: it may hold secrets. */
function parseRequest(line: string): Request {
  try {
    return requestSchema.parse(JSON.parse(line));
  } catch {
    throw new Error("a message that is no request");
  }
}

/** Names the fields and what is wrong with them; never their values. */
function invalidArguments(error: z.ZodError): ApplianceError {
  const issues = error.issues.map(({ path, message }) => `${path.join(".") || "arguments"}: ${message}`);
  return new ApplianceError("INVALID", issues.join("; "), {
    details: { field: error.issues[0]?.path.join(".") ?? "" },
  });
}
