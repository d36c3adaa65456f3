import { connect } from "node:net";
import { ApplianceError } from "../../errors.ts";
import { peerCredentials } from "../../net/peer-credentials.ts";
import { abortedError, driverFailed, throwIfAborted } from "../failure.ts";
import { decodeTgtResponse, encodeTgtRequest, TGT_ERRORS, type TgtError, type TgtRequest } from "./tgt-wire.ts";

/**
 * Sends one request to the daemon with this control number and answers its text. `process`: the request is for the process
 * that the first one with it reached, and none that was started since.
 */
export type TgtClient = (
  control: number,
  request: TgtRequest,
  signal: AbortSignal,
  process?: TgtProcess,
) => Promise<string>;

/** One run of a daemon, known from the first request on. */
export type TgtProcess = { pid?: number };

/** Where tgtd puts its sockets: fixed in its binary, but for the environment variable TGT_IPC_SOCKET. */
const SOCKET_PREFIX = "/var/run/tgtd/socket";

/** tgtd does one thing at a time, in milliseconds: when it closes a disk whose store hangs, it hangs with it. */
const SILENCE_MS = 12_000;

/** What connect(2) says when no process has the socket: it was never made, or its maker has ended. */
const NOBODY_LISTENS: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED"]);

/**
 * Speaks to tgtd over its management socket, which obeys uid 0 only.
 * UNAVAILABLE (an outage) when no daemon listens (`details.absent`), it goes away, is another process or says nothing for `silenceMs`, TIMEOUT or CANCELLED by the
 * signal, DRIVER_FAILED with `details.tgt` when it refuses. Parameters are never repeated in errors: they hold secrets.
 */
export function createTgtClient(socketPrefix = SOCKET_PREFIX, silenceMs = SILENCE_MS): TgtClient {
  return async (control, request, signal, process = {}) => {
    const action = `${request.mode} ${request.operation}`;
    checkParameters(request);
    throwIfAborted(signal, "tgt", action);
    const { error, text } = await exchange(`${socketPrefix}.${control}`, request, {
      action,
      silenceMs,
      signal,
      process,
    });
    if (error === 0) return text;
    const word = TGT_ERRORS[error] ?? `error ${error}`;
    throw driverFailed("tgt", action, `tgtd says: ${word}`, { details: { tgt: word, control } });
  };
}

/** Whether tgtd refused for one of these reasons. */
export function tgtRefused(error: unknown, ...reasons: TgtError[]): boolean {
  return error instanceof ApplianceError && reasons.some((reason) => error.details.tgt === reason);
}

type Exchange = { action: string; silenceMs: number; signal: AbortSignal; process: TgtProcess };

function exchange(path: string, request: TgtRequest, { action, silenceMs, signal, process }: Exchange) {
  return new Promise<{ error: number; text: string }>((resolve, reject) => {
    const socket = connect(path);
    const chunks: Buffer[] = [];
    const finish = (settle: () => void) => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      settle();
    };
    const onAbort = () => finish(() => reject(abortedError(signal, "tgt", action)));
    const unavailable = (message: string, remedy: string, cause?: NodeJS.ErrnoException) => {
      const absent = NOBODY_LISTENS.has(cause?.code ?? "") ? { absent: true } : {};
      const details = { driver: "tgt", action, socket: path, outage: true, ...absent, remedy };
      finish(() => reject(new ApplianceError("UNAVAILABLE", `${action}: ${message}`, { details, cause })));
    };
    const gone = (message: string, cause?: NodeJS.ErrnoException) =>
      unavailable(message, "start the target daemon of this network", cause);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("connect", () => {
      const pid = peerCredentials(socket)?.pid;
      if (pid !== undefined) process.pid ??= pid;
      if (process.pid === pid) socket.write(encodeTgtRequest(request));
      else gone("the target daemon was started anew meanwhile");
    });
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      const response = decodeTgtResponse(chunks.length === 1 ? chunk : Buffer.concat(chunks));
      if (response) finish(() => resolve(response));
    });
    socket.on("error", (cause) => gone("the target daemon can't be reached", cause));
    socket.on("close", () => gone("the target daemon went away before it answered"));
    socket.setTimeout(silenceMs, () =>
      unavailable(
        `the target daemon has not answered for ${silenceMs / 1000} s`,
        "see what its disks lie on: ingot doctor; with Ceph, ceph -s",
      ),
    );
  });
}

/** tgtd splits parameters at commas and knows no escape: a value with one would set other parameters. */
function checkParameters(request: TgtRequest): void {
  for (const [key, value] of Object.entries(request.parameters ?? {})) {
    if (value === "" || /[,\x00-\x1f\x7f]/.test(value)) {
      throw new ApplianceError("INVALID", `${key}: tgtd can't take an empty value, or commas and control characters`, {
        details: { field: key, remedy: "choose another path or name" },
      });
    }
  }
}
