import { type ChildProcess, fork } from "node:child_process";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { ApplianceError } from "../../../errors.ts";
import { abortedError, driverFailed } from "../../failure.ts";
import { CHILD_ENV } from "../child-env.ts";
import { childOutput } from "../child-output.ts";
import type { ByteRange } from "../image-store.ts";
import type { Librbd } from "./librbd.ts";
import type { RbdReading } from "./librbd-reader.ts";
import type { WorkerResponse } from "./librbd-worker.ts";
import { createRbdCommand } from "./rbd-command.ts";
import { cephError, notThere } from "./rbd-fault.ts";
import type { InspectedImage, RbdAccess, RbdPool } from "./rbd-pool.ts";

const READER = fileURLToPath(new URL("librbd-reader.ts", import.meta.url));
const WORKER = fileURLToPath(new URL("librbd-worker.ts", import.meta.url));
/** Calls that may wait for the cluster at a time, each on a thread. */
const THREADS = "32";
/** Longer than any call takes, by Ceph's own timeouts: past it, a worker that owes an answer is stuck. */
const STUCK_MS = 240_000;
/** These go through all objects of an image, and take as long as there are. */
const LONG: readonly (keyof Librbd)[] = ["remove", "removeTrash"];
/** These change nothing. */
const LOOKS: readonly (keyof Librbd)[] = [
  "list",
  "size",
  "id",
  "inspect",
  "metadata",
  "listTrash",
  "lockHolder",
  "readObject",
  "usage",
];

/** What a client may do is settled when it connects: one that has been there for so long may have been given more since. */
const RIGHTS_MS = 5000;

/** Of a client that the cluster shut out: it never comes back, a new one does. */
const ESHUTDOWN = 108;

type Pending = {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  action: string;
  image: string;
  stuck: NodeJS.Timeout | undefined;
};
type Worker = { child: ChildProcess; startedAt: number; pending: Map<number, Pending>; hasAnswered: boolean };

/**
 * The pool through librbd, in a process of its own that is started when it is needed and again after a fault: a tenth of
 * the command line's time. What moves content, and what is measured, goes by the command line.
 * Calls that the process takes along fail with UNAVAILABLE (retryable): nobody knows whether they were carried out. What only
 * looks is asked once more.
 */
export function createLibrbdPool(access: RbdAccess): RbdPool & { close(): void } {
  const command = createRbdCommand(access);
  let worker: Worker | undefined;
  let nextId = 0;
  /** Of calls that a worker took along. */
  const lost = new WeakSet<object>();

  const start = (): Worker => {
    const child = fork(WORKER, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: { ...CHILD_ENV, UV_THREADPOOL_SIZE: THREADS },
    });
    const started: Worker = { child, startedAt: Date.now(), pending: new Map(), hasAnswered: false };
    child.on("message", (response: WorkerResponse) => settle(started, response));
    const gone = () => {
      if (worker === started) worker = undefined;
      for (const { reject, action, stuck } of started.pending.values()) {
        clearTimeout(stuck);
        const error = started.hasAnswered ? workerGone(action) : workerCannotRun(action);
        if (started.hasAnswered) lost.add(error);
        reject(error);
      }
      started.pending.clear();
    };
    child.on("error", gone);
    child.on("exit", gone);
    child.send({ access });
    return started;
  };

  const settle = (from: Worker, response: WorkerResponse) => {
    from.hasAnswered = true;
    const call = from.pending.get(response.id);
    from.pending.delete(response.id);
    clearTimeout(call?.stuck);
    if (from !== worker && from.pending.size === 0) from.child.kill("SIGKILL");
    if ("ok" in response) return call?.resolve(response.ok);
    if ("missing" in response) return call?.reject(notThere(response.missing, access));
    const { errno, said } = response;
    call?.reject(cephError(errno, call.action, call.image, said));
    if (errno === ESHUTDOWN) from.child.kill("SIGKILL");
  };

  const send = (to: Worker, verb: keyof Librbd, action: string, args: string[]): Promise<unknown> => {
    const id = nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    // a call can't be ended in the middle; the process that makes it can
    const stuck = LONG.includes(verb) ? undefined : setTimeout(() => to.child.kill("SIGKILL"), STUCK_MS).unref();
    to.pending.set(id, { resolve, reject, action, image: args[0] ?? "", stuck });
    to.child.send({ id, verb, args });
    return promise;
  };

  const ask = async <T>(verb: keyof Librbd, action: string, args: string[], signal: AbortSignal): Promise<T> => {
    if (signal.aborted) throw abortedError(signal, "rbd", action);
    worker ??= start();
    const asked = worker;
    try {
      // an aborted call too: what follows it, an undo, must find it ended
      return (await send(asked, verb, action, args).catch((error) => {
        const mayHaveMore = error.details?.ceph === "not-authorised" && Date.now() - asked.startedAt > RIGHTS_MS;
        // one that was ended for being stuck would be stuck again
        const hasDied = lost.has(error) && !asked.child.killed && LOOKS.includes(verb);
        if ((!mayHaveMore && !hasDied) || signal.aborted) throw error;
        // what it is still asked it answers, and ends with the last of it
        if (worker === asked) worker = undefined;
        if (asked.pending.size === 0) asked.child.kill("SIGKILL");
        worker ??= start();
        return send(worker, verb, action, args);
      })) as T;
    } catch (error) {
      throw signal.aborted ? abortedError(signal, "rbd", action) : error;
    }
  };

  return {
    ...command,
    list: (signal) => ask("list", "list images", [], signal),
    size: async (image, signal) => (await ask<number | null>("size", "look at image", [image], signal)) ?? undefined,
    id: (image, signal) => ask("id", "look at image", [image], signal),
    clone: (parent, child, signal) => ask("clone", "clone", [parent.image, parent.snapshot, child], signal),
    cloneNow: (image, child, signal) => ask("cloneNow", "snapshot", [image, child], signal),
    create: (image, sizeBytes, signal) => ask("create", "create", [image, String(sizeBytes)], signal),
    grow: (image, sizeBytes, signal) => ask("grow", "grow", [image, String(sizeBytes)], signal),
    createSnapshot: (image, snapshot, signal) => ask("createSnapshot", "snapshot", [image, snapshot], signal),
    removeSnapshot: (image, snapshot, signal) => ask("removeSnapshot", "remove snapshot", [image, snapshot], signal),
    rename: (from, to, signal) => ask("rename", "rename", [from, to], signal),
    breakLock: (image, signal) => ask("breakLock", "break lock", [image], signal),
    remove: (image, signal) => ask("remove", "remove", [image], signal),
    moveToTrash: (image, signal) => ask("moveToTrash", "move to trash", [image], signal),
    listTrash: (signal) => ask("listTrash", "list trash", [], signal),
    removeTrash: (id, signal) => ask("removeTrash", "empty trash", [id], signal),
    setMetadata: (image, key, value, signal) => ask("setMetadata", "describe image", [image, key, value], signal),
    removeMetadata: (image, key, signal) => ask("removeMetadata", "describe image", [image, key], signal),
    metadata: async (image, key, signal) =>
      (await ask<string | null>("metadata", "read metadata", [image, key], signal)) ?? undefined,
    inspect: async (image, keys, signal) =>
      (await ask<InspectedImage | null>("inspect", "look at image", [image, ...keys], signal)) ?? undefined,
    lock: async (object, holder, seconds, signal) =>
      (await ask<string | null>("lock", "lock", [object, holder, String(seconds)], signal)) ?? undefined,
    unlock: (object, holder, signal) => ask("unlock", "unlock", [object, holder], signal),
    lockHolder: async (object, signal) =>
      (await ask<string | null>("lockHolder", "look at lock", [object], signal)) ?? undefined,
    readObject: (object, signal) => ask("readObject", "read object", [object], signal),
    writeObject: (object, text, signal) => ask("writeObject", "write object", [object, text], signal),
    read(image, ranges, signal) {
      const input = Readable.from(linesOf(ranges));
      const args = [READER, JSON.stringify({ access, image } satisfies RbdReading)];
      return childOutput(process.execPath, args, { driver: "rbd", action: "read", signal, input });
    },
    async usage(signal) {
      const usage = await ask<Awaited<ReturnType<Librbd["usage"]>>>("usage", "look at pool", [], signal);
      if (!usage) throw notThere("pool", access);
      return usage;
    },
    close: () => worker?.child.kill("SIGKILL"),
  };
}

function* linesOf(ranges: Iterable<ByteRange>): Generator<string> {
  for (const { first, last } of ranges) yield `${first} ${last}\n`;
}

function workerCannotRun(action: string): ApplianceError {
  return driverFailed("rbd", action, "the process that talks to Ceph does not come up", {
    details: { remedy: "journalctl -u ingot-storaged says why; it needs the packages librados2 and librbd1" },
  });
}

function workerGone(action: string): ApplianceError {
  return new ApplianceError("UNAVAILABLE", `${action}: the process that talks to Ceph ended in the middle`, {
    details: {
      driver: "rbd",
      action,
      outage: true,
      remedy: "journalctl -u ingot-storaged; it is started again by itself",
    },
  });
}
