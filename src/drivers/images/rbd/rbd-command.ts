import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { Readable, type Writable } from "node:stream";
import { abortedError, driverFailed } from "../../failure.ts";
import { CHILD_ENV } from "../child-env.ts";
import { childOutput, feed, pick } from "../child-output.ts";
import { cephError, isRefused, notThere } from "./rbd-fault.ts";
import type { RbdAccess, RbdPool } from "./rbd-pool.ts";

type Run = (action: string, image: string, args: string[]) => Promise<string>;

/** The pool through the `rbd` command line: slow (a process and a connection per verb), and nothing can hang with it. */
export function createRbdCommand(access: RbdAccess): RbdPool {
  const { pool } = access;
  const spec = (image: string) => `${pool}/${image}`;
  const rbd =
    (signal: AbortSignal): Run =>
    (action, image, args) =>
      runCeph("rbd", [...PATIENCE, ...SHORT, ...args], { access, action, image, signal });
  const json = async <T>(signal: AbortSignal, action: string, image: string, args: string[]): Promise<T> =>
    // of an image without metadata `rbd image-meta list` says nothing at all
    JSON.parse((await rbd(signal)(action, image, [...args, "--format", "json"])) || "{}") as T;

  const rados =
    (signal: AbortSignal) =>
    (action: string, args: string[], input?: string): Promise<string> =>
      runCeph("rados", [...PATIENCE, ...SHORT, "--pool", pool, ...args], {
        access,
        action,
        image: "",
        signal,
        ...(input === undefined ? {} : { input }),
      });
  const lockers = async (object: string, signal: AbortSignal) => {
    const said = await unlessGone(rados(signal)("look at lock", ["lock", "info", object, LOCK]), "{}");
    return (JSON.parse(said) as { lockers?: { name: string; cookie: string }[] }).lockers ?? [];
  };
  const breakLock = (object: string, client: string, holder: string, signal: AbortSignal) =>
    unlessGone(rados(signal)("unlock", ["lock", "break", object, LOCK, client, "--lock-cookie", holder]), "");

  return {
    list: (signal) => json<string[]>(signal, "list images", "", ["ls", pool]),
    async size(image, signal) {
      try {
        return (await json<{ size: number }>(signal, "look at image", image, ["info", spec(image)])).size;
      } catch (error) {
        if (isRefused(error, "none")) return undefined;
        throw error;
      }
    },
    id: async (image, signal) => (await json<{ id: string }>(signal, "look at image", image, ["info", spec(image)])).id,
    async usedByAll(signal) {
      type Sizes = { images: { name: string; snapshot?: string; provisioned_size: number; used_size: number }[] };
      const { images } = await json<Sizes>(signal, "measure pool", "", ["du", "--pool", pool]);
      const sizes = new Map<string, { image: string; sizeBytes: number; usedBytes: number }>();
      // a line for each snapshot, and one for what came after them
      for (const { name, provisioned_size: sizeBytes, used_size } of images) {
        sizes.set(name, { image: name, sizeBytes, usedBytes: (sizes.get(name)?.usedBytes ?? 0) + used_size });
      }
      return [...sizes.values()];
    },
    listSnapshots: async (image, signal) =>
      (await json<{ name: string }[]>(signal, "list snapshots", image, ["snap", "ls", spec(image)])).map(
        ({ name }) => name,
      ),
    async used(image, signal) {
      const { images } = await json<{ images: { used_size: number }[] }>(signal, "measure image", image, [
        "du",
        spec(image),
      ]);
      return images.reduce((sum, one) => sum + one.used_size, 0);
    },
    async clone(parent, child, signal) {
      const from = `${spec(parent.image)}@${parent.snapshot}`;
      await rbd(signal)("clone", child, ["clone", "--rbd-default-clone-format", "2", from, spec(child)]);
    },
    async cloneNow(image, child, signal) {
      const snapshot = `${spec(image)}@${child}`;
      const run = rbd(signal);
      try {
        await run("snapshot", image, ["snap", "create", "--no-progress", snapshot]);
      } catch (error) {
        if (!isRefused(error, "exists")) throw error;
      }
      try {
        await run("snapshot", child, ["clone", "--rbd-default-clone-format", "2", snapshot, spec(child)]);
        return (await json<{ size: number }>(signal, "look at image", child, ["info", spec(child)])).size;
      } finally {
        // also when it is given up
        const cleaning = rbd(AbortSignal.timeout(CLEANING_MS));
        await cleaning("remove snapshot", image, ["snap", "rm", "--no-progress", snapshot]);
      }
    },
    async create(image, sizeBytes, signal) {
      await rbd(signal)("create", image, ["create", "--size", `${sizeBytes}B`, spec(image)]);
    },
    async grow(image, sizeBytes, signal) {
      await rbd(signal)("grow", image, ["resize", "--no-progress", "--size", `${sizeBytes}B`, spec(image)]);
    },
    async createSnapshot(image, snapshot, signal) {
      await rbd(signal)("snapshot", image, ["snap", "create", "--no-progress", `${spec(image)}@${snapshot}`]);
    },
    async removeSnapshot(image, snapshot, signal) {
      await rbd(signal)("remove snapshot", image, ["snap", "rm", "--no-progress", `${spec(image)}@${snapshot}`]);
    },
    async rename(from, to, signal) {
      await rbd(signal)("rename", from, ["rename", spec(from), spec(to)]);
    },
    async breakLock(image, signal) {
      const locks = await json<{ id: string; locker: string }[]>(signal, "look at locks", image, [
        "lock",
        "ls",
        spec(image),
      ]);
      for (const { id, locker } of locks) {
        await rbd(signal)("break lock", image, ["lock", "rm", spec(image), id, locker]);
      }
    },
    async remove(image, signal) {
      await rbd(signal)("remove", image, ["rm", "--no-progress", spec(image)]);
    },
    async moveToTrash(image, signal) {
      await rbd(signal)("move to trash", image, ["trash", "mv", spec(image)]);
    },
    listTrash: (signal) => json(signal, "list trash", "", ["trash", "ls", pool]),
    async removeTrash(id, signal) {
      await rbd(signal)("empty trash", id, ["trash", "rm", "--no-progress", `${pool}/${id}`]);
    },
    async setMetadata(image, key, value, signal) {
      await rbd(signal)("describe image", image, ["image-meta", "set", spec(image), key, value]);
    },
    async removeMetadata(image, key, signal) {
      await rbd(signal)("describe image", image, ["image-meta", "remove", spec(image), key]);
    },
    async metadata(image, key, signal) {
      const all = await json<Record<string, string>>(signal, "read metadata", image, [
        "image-meta",
        "list",
        spec(image),
      ]);
      return all[key];
    },
    async inspect(image, keys, signal) {
      try {
        const ask = <T>(...args: string[]) => json<T>(signal, "look at image", image, [...args, spec(image)]);
        const { size } = await ask<{ size: number }>("info");
        const snapshots = (await ask<{ name: string }[]>("snap", "ls")).map(({ name }) => name);
        const all = Object.entries(await ask<Record<string, string>>("image-meta", "list"));
        const metadata = Object.fromEntries(all.filter(([key]) => keys.includes(key)));
        const isHeld = (await ask<object[]>("lock", "ls")).length > 0;
        return { sizeBytes: size, snapshots, isHeld, metadata };
      } catch (error) {
        if (isRefused(error, "none")) return undefined;
        throw error;
      }
    },
    async lock(object, holder, seconds, signal) {
      const found = await lockers(object, signal);
      const other = found.find(({ cookie }) => cookie !== holder);
      if (other) return other.cookie;
      // each run of the program is another client
      for (const { name } of found) await breakLock(object, name, holder, signal);
      const options = ["--lock-cookie", holder, "--lock-duration", String(seconds), "--lock-type", "exclusive"];
      try {
        await rados(signal)("lock", ["lock", "get", object, LOCK, ...options]);
      } catch (error) {
        const winner = (await lockers(object, signal)).find(({ cookie }) => cookie !== holder);
        if (!winner) throw error;
        return winner.cookie;
      }
      return undefined;
    },
    async unlock(object, holder, signal) {
      for (const { name, cookie } of await lockers(object, signal)) {
        if (cookie === holder) await breakLock(object, name, cookie, signal);
      }
    },
    lockHolder: async (object, signal) => (await lockers(object, signal))[0]?.cookie,
    readObject: (object, signal) => unlessGone(rados(signal)("read object", ["get", object, "-"]), ""),
    async writeObject(object, text, signal) {
      await rados(signal)("write object", ["put", object, "-"], text);
    },
    async importFile(file, image, progress, signal) {
      const args = [...PATIENCE, ...LEAN, "import", file, spec(image)];
      await runCeph("rbd", args, { access, action: "import", image, signal, onText: percentTo(progress) });
    },
    hasParent: async (image, signal) =>
      (await json<{ parent?: object }>(signal, "look at image", image, ["info", spec(image)])).parent !== undefined,
    async extents(image, found, signal) {
      const args = [...PATIENCE, ...SHORT, "diff", "--whole-object", spec(image)];
      const onOutput = inLines((line) => {
        const [, offset, length] = /^(\d+)\s+(\d+)\s+data\b/.exec(line) ?? [];
        if (offset !== undefined) found(Number(offset), Number(length));
      });
      await runCeph("rbd", args, { access, action: "measure image", image, signal, onOutput });
    },
    async flatten(image, progress, signal) {
      const args = [...PATIENCE, "flatten", spec(image)];
      await runCeph("rbd", args, { access, action: "flatten", image, signal, onText: percentTo(progress) });
    },
    read(image, ranges, signal) {
      const args = [
        "--conf",
        access.conf,
        "--id",
        access.user,
        ...PATIENCE,
        "export",
        "--no-progress",
        spec(image),
        "-",
      ];
      return pick(childOutput("rbd", args, { driver: "rbd", action: "read", signal }), ranges);
    },
    async usage(signal) {
      const args = ["--connect-timeout", CONNECT_SECONDS, "df", "--format", "json"];
      const said = await runCeph("ceph", args, { access, action: "look at pool", image: "", signal });
      const { pools } = JSON.parse(said) as { pools: { name: string; stats: { stored: number; max_avail: number } }[] };
      const stats = pools.find(({ name }) => name === pool)?.stats;
      if (!stats) throw notThere("pool", access);
      return { storedBytes: stats.stored, freeBytes: stats.max_avail };
    },
  };
}

/** Reads the progress that `rbd` draws. */
function percentTo(progress: (percent: number) => void): (text: string) => void {
  return (text) => {
    const percent = /(\d+)% complete/.exec(text)?.[1];
    if (percent !== undefined) progress(Number(percent));
  };
}

/** Takes text in pieces, and calls `onLine` with each line that is whole. */
function inLines(onLine: (line: string) => void): (piece: Buffer) => void {
  let rest = "";
  return (piece) => {
    const lines = (rest + piece.toString()).split("\n");
    rest = lines.pop() as string;
    for (const line of lines) onLine(line);
  };
}

/** What the lock of an object is called. */
const LOCK = "ingot";

/** What a program says, or `instead` where the thing is not there. */
async function unlessGone(said: Promise<string>, instead: string): Promise<string> {
  try {
    return await said;
  } catch (error) {
    if (isRefused(error, "none")) return instead;
    throw error;
  }
}

/** How long a cluster is waited for: Ceph's own programs would wait for minutes, or for ever. */
const CONNECT_SECONDS = "6";
const PATIENCE = ["--client-mount-timeout", CONNECT_SECONDS, "--rados-mon-op-timeout", "8"];
/** For verbs that move no content: a cluster that is well is done with each request of them at once. */
const SHORT = ["--rados-osd-op-timeout", "15"];

/** For content that is brought in: each write under way holds an object (4 MiB), and a cache would hold it once more for no gain. */
const LEAN = ["--rbd-cache=false", "--rbd-concurrent-management-ops", "2"];

/** Longest that the removal of a snapshot takes, by these. */
const CLEANING_MS = 60_000;

const NO_KEYRING = /unable to find a keyring/;
/** What they say where the pool is not there. */
const NO_POOL = /error opening (?:default )?pool/;

export type CephCall = {
  access: RbdAccess;
  action: string;
  image: string;
  signal: AbortSignal;
  onText?: (text: string) => void;
  /** Takes what it prints, where that is too long to be answered. */
  onOutput?: (piece: Buffer) => void;
  /** For its standard input. */
  input?: string | Readable;
};

/** Runs `rbd` to its end for a verb that moves no content; answers what it printed. */
export function runRbd(args: string[], call: CephCall): Promise<string> {
  return runCeph("rbd", [...PATIENCE, ...SHORT, ...args], call);
}

/** The same for one that copies an image, and tells how far it is. */
export function copyByRbd(args: string[], progress: (percent: number) => void, call: CephCall): Promise<string> {
  return runCeph("rbd", [...PATIENCE, ...args], { ...call, onText: percentTo(progress) });
}

/** Writes changes, in the format of `rbd export-diff`, to a volume (`pool/image`). Fails as its pool's verbs, and as what it reads. */
export async function importDiff(diff: Readable, volume: string, call: Omit<CephCall, "image">): Promise<void> {
  const args = [...PATIENCE, "import-diff", "--no-progress", "-", volume];
  await runCeph("rbd", args, { ...call, image: volume, input: diff });
}

/** Runs a program of Ceph to its end. They end with the errno of what failed. */
function runCeph(
  program: "rbd" | "ceph" | "rados",
  args: string[],
  { access, action, image, signal, onText, onOutput, input }: CephCall,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ["--conf", access.conf, "--id", access.user, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      // a heap for each of its threads would take 4 MB more
      env: { ...CHILD_ENV, MALLOC_ARENA_MAX: "1" },
      cwd: "/",
    });
    let broken: unknown;
    const told = tell(child.stdin, input).catch((error) => {
      broken = error;
      kill();
    });
    const output: Buffer[] = [];
    let complaint = "";
    child.stdout.on("data", onOutput ?? ((chunk: Buffer) => output.push(chunk)));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-4000);
      onText?.(text);
    });
    const kill = () => child.kill("SIGKILL");
    signal.addEventListener("abort", kill, { once: true });
    if (signal.aborted) kill();
    child.on("error", (cause) => {
      signal.removeEventListener("abort", kill);
      const remedy = "install ceph-common on the appliance";
      reject(driverFailed("rbd", action, `can't run ${program}`, { cause, details: { remedy } }));
    });
    child.on("close", async (code, killedBy) => {
      signal.removeEventListener("abort", kill);
      await told;
      if (broken !== undefined) return reject(signal.aborted ? abortedError(signal, "rbd", action) : broken);
      if (code === 0) return resolve(Buffer.concat(output).toString());
      if (signal.aborted) return reject(abortedError(signal, "rbd", action));
      if (!existsSync(access.conf)) return reject(notThere("conf", access));
      if (NO_KEYRING.test(complaint)) return reject(cephError(constants.errno.EACCES, action, image, "no keyring"));
      if (NO_POOL.test(complaint)) return reject(notThere("pool", access));
      const said = complaint.trim().split("\n").at(-1) ?? "";
      // the `ceph` program says 1 when it gave up on the cluster
      let errno = program === "ceph" && code === 1 ? constants.errno.ETIMEDOUT : (code ?? 0);
      // `rados` says 1 of everything, and the errno in words: "(2) No such file or directory"
      if (program === "rados") errno = Number(/\((\d+)\)/.exec(said)?.[1] ?? errno);
      reject(cephError(errno, action, image, said || `${program} ended with ${killedBy ?? code}`));
    });
  });
}

/** Gives a program what it reads. Rejects where that breaks off; a program that ended before it read all says why itself. */
async function tell(stdin: Writable, input: string | Readable | undefined): Promise<void> {
  stdin.on("error", () => {});
  if (!(input instanceof Readable)) return void stdin.end(input);
  await feed(input, stdin);
}
