import { connect, type Socket } from "node:net";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { abortedError, throwIfAborted } from "../drivers/failure.ts";
import { ApplianceError } from "../errors.ts";
import { readFirstLine, unframed } from "./frames.ts";
import { readLines } from "./lines.ts";
import { decodeError, MAX_RESPONSE_BYTES, type Response, responseSchema } from "./protocol.ts";
import type { VerbName } from "./verbs.ts";

/** Calls a verb. The result is what its handler answers, unchecked: both ends come from one tree. */
export type CallStorage = <T>(
  verb: VerbName,
  args: object,
  signal?: AbortSignal,
  progress?: (done: number, total: number) => void,
) => Promise<T>;

/** Calls a verb that answers bytes. */
export type StreamStorage = (verb: VerbName, args: object, signal: AbortSignal) => Promise<Readable>;

const RETRY_MS = 50;
/** How long a cancelled call may take to say that nothing of it runs any more. */
const CANCEL_MS = 5000;

type Pending = {
  resolve: (value: unknown) => void;
  reject: (error: ApplianceError) => void;
  progress: ((done: number, total: number) => void) | undefined;
};

type Connection = { socket: Socket; pending: Map<number, Pending> };

/** One connection at a time, made when a call needs it. */
export function createCaller(
  path: string,
  waitMs: number,
  as?: string,
): {
  call: CallStorage;
  stream: StreamStorage;
  close: () => void;
} {
  const never = new AbortController().signal;
  let current: Promise<Connection> | undefined;
  let nextId = 0;

  const connected = (): Promise<Connection> => {
    if (current) return current;
    const attempt = openConnection(path, waitMs, () => {
      if (current === attempt) current = undefined;
    });
    current = attempt;
    attempt.catch(() => {
      if (current === attempt) current = undefined;
    });
    return attempt;
  };

  const call: CallStorage = async (verb, args, signal = never, progress) => {
    const id = nextId++;
    try {
      throwIfAborted(signal, "storaged", verb);
      const connection = await untilAborted(connected(), signal);
      return (await exchange(connection, id, { verb, args, signal, progress, as })) as never;
    } catch (error) {
      throw signal.aborted ? abortedError(signal, "storaged", verb) : error;
    }
  };

  const stream: StreamStorage = async (verb, args, signal) => {
    throwIfAborted(signal, "storaged", verb);
    const connecting = connectPatiently(path, waitMs);
    const socket = await untilAborted(connecting, signal).catch((error) => {
      // nobody waits for it any more
      connecting.then(
        (late) => late.destroy(),
        () => {},
      );
      throw error;
    });
    return requestStream(socket, JSON.stringify({ id: 0, verb, args }), signal);
  };

  const close = () => {
    current?.then(
      ({ socket }) => socket.destroy(),
      () => {},
    );
  };
  return { call, stream, close };
}

type Exchange = {
  verb: VerbName;
  args: object;
  signal: AbortSignal;
  progress: Pending["progress"];
  as: string | undefined;
};

/** One call on a connection. An aborted one is not given up at once: an undo may follow, and must find it ended. */
async function exchange({ socket, pending }: Connection, id: number, one: Exchange): Promise<unknown> {
  const { verb, args, signal, progress, as } = one;
  let timer: NodeJS.Timeout | undefined;
  const cancel = () => {
    socket.write(`${JSON.stringify({ cancel: id })}\n`);
    timer = setTimeout(() => pending.get(id)?.reject(abortedError(signal, "storaged", verb)), CANCEL_MS);
  };
  try {
    return await new Promise((resolve, reject) => {
      pending.set(id, { resolve, reject, progress });
      signal.addEventListener("abort", cancel, { once: true });
      socket.write(`${JSON.stringify({ id, verb, args, as })}\n`);
      if (signal.aborted) cancel();
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
    pending.delete(id);
  }
}

/** The promise, or the signal's reason if that fires first. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

async function openConnection(path: string, waitMs: number, onClose: () => void): Promise<Connection> {
  const socket = await connectPatiently(path, waitMs);
  const pending = new Map<number, Pending>();
  socket.on("close", () => {
    onClose();
    const gone = wentAway(path);
    for (const call of pending.values()) call.reject(gone);
  });
  readLines(socket, MAX_RESPONSE_BYTES, (line) => settle(pending, responseSchema.parse(JSON.parse(line))));
  return { socket, pending };
}

/** A connection of its own for a verb that answers bytes; it ends with them. */
async function requestStream(socket: Socket, request: string, signal: AbortSignal): Promise<Readable> {
  const end = () => socket.destroy();
  signal.addEventListener("abort", end, { once: true });
  socket.on("close", () => signal.removeEventListener("abort", end));
  if (signal.aborted) end();
  socket.write(`${request}\n`);
  const response = responseSchema.parse(JSON.parse(await readFirstLine(socket)));
  if ("error" in response) {
    socket.destroy();
    throw decodeError(response.error);
  }
  return unframed(socket);
}

async function connectPatiently(path: string, waitMs: number): Promise<Socket> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    try {
      return await connectOnce(path);
    } catch (cause) {
      if (Date.now() >= deadline) throw unavailable("ingot-storaged can't be reached", path, cause);
      await sleep(RETRY_MS);
    }
  }
}

function connectOnce(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.on("error", reject);
    socket.on("connect", () => resolve(socket));
  });
}

function wentAway(path: string): ApplianceError {
  return unavailable("ingot-storaged went away during the call", path);
}

function settle(pending: Map<number, Pending>, response: Response): void {
  const call = pending.get(response.id);
  if (!call) return;
  if ("progress" in response) call.progress?.(...response.progress);
  else if ("error" in response) call.reject(decodeError(response.error));
  else call.resolve(response.ok ?? undefined);
}

function unavailable(message: string, path: string, cause?: unknown): ApplianceError {
  return new ApplianceError("UNAVAILABLE", message, {
    details: { driver: "storaged", socket: path, outage: true, remedy: "start ingot-storaged" },
    cause,
  });
}
