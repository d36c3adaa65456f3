/**
 * The process that talks to Ceph through librbd, for `createLibrbdPool`: a fault in it costs the calls under way, and
 * nothing else. It is told which pool, and then verbs; it ends with its parent.
 */
import { flushCompileCache } from "node:module";
import { Librbd, LibrbdFault, NotThere } from "./librbd.ts";
import type { RbdAccess } from "./rbd-pool.ts";

/** Parent to worker. The first message says which pool; verbs are the methods of `Librbd`. */
export type WorkerRequest = { access: RbdAccess } | { id: number; verb: keyof Librbd; args: string[] };
/** Worker to parent. */
export type WorkerResponse = { id: number } & (
  | { ok: unknown }
  | { errno: number; said: string }
  | { missing: "conf" | "pool" }
);

let access: RbdAccess | undefined;
let connection: Promise<Librbd> | undefined;

process.on("message", (request: WorkerRequest) => {
  if ("access" in request) access = request.access;
  else void answer(request);
});
// what is under way would keep it, or be pulled from under librbd's threads
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));

async function answer({ id, verb, args }: Exclude<WorkerRequest, { access: RbdAccess }>): Promise<void> {
  try {
    const pool = await connected();
    const ok = (await (pool[verb] as (...args: string[]) => Promise<unknown>).apply(pool, args)) ?? null;
    reply({ id, ok });
  } catch (error) {
    if (error instanceof NotThere) return reply({ id, missing: error.what });
    reply({ id, errno: error instanceof LibrbdFault ? error.errno : 0, said: (error as Error).message });
  }
}

function connected(): Promise<Librbd> {
  if (!connection) {
    const attempt = Librbd.connect(access!);
    connection = attempt;
    // it is killed in the end, and would leave nothing compiled for the next one
    const kept = attempt.then(() => flushCompileCache());
    kept.catch(() => {
      connection = undefined;
    });
  }
  return connection;
}

function reply(response: WorkerResponse): void {
  process.send?.(response);
}
