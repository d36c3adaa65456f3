import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runProgram } from "./program.ts";

/**
 * What a lab started is written down in its state directory before it is used, so that a later start can clean
 * up after a crash: `processes/<name>` holds "<pid> <start time>", `namespaces/<name>` and `leftovers/<path>` are empty
 * files, `owner/<pid>` holds the start time of each process that wrote down something.
 */

/** Where the state directories of labs lie, and how their names begin. */
const PLACES = ["/var/tmp", tmpdir()];
const NAME = /^(ingot|hdp)-/;
/** So long may a file system be busy after its programs were ended. */
const UNMOUNT_MS = 20_000;

export type LabProcessOptions = {
  /** Unique in the lab: `endProcess(stateDirectory, name)` ends it. */
  name: string;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** As spawn's: by default output is piped and input closed. */
  stdio?: ("ignore" | "pipe" | number)[];
};

/** Notes the files that a tgtd with this control number leaves behind, whatever ends it. */
export async function recordTgtdSocket(stateDirectory: string, control: number): Promise<void> {
  const socket = `/run/tgtd/socket.${control}`;
  for (const path of [socket, `${socket}.lock`]) await recordLeftover(stateDirectory, path);
}

/** Starts a program and notes it. */
export async function startProcess(
  stateDirectory: string,
  argv: string[],
  { name, stdio = ["ignore", "pipe", "pipe"], ...rest }: LabProcessOptions,
): Promise<ChildProcess> {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, { ...rest, stdio });
  await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  await recordProcess(stateDirectory, name, child.pid!);
  return child;
}

/** The file that names a process of the lab. */
export function processRecord(stateDirectory: string, name: string): string {
  return join(stateDirectory, "processes", name);
}

async function recordProcess(stateDirectory: string, name: string, pid: number): Promise<void> {
  const startTime = await processStartTime(pid);
  if (startTime === undefined) throw new Error(`${name} (pid ${pid}) ended at once`);
  await writeRecord(stateDirectory, "processes", name, `${pid} ${startTime}\n`);
}

/** Notes a network namespace that this lab is about to make. */
export async function recordNamespace(stateDirectory: string, namespace: string): Promise<void> {
  await writeRecord(stateDirectory, "namespaces", namespace, "");
}

/** Notes a file elsewhere that a program of the lab will leave behind. */
async function recordLeftover(stateDirectory: string, path: string): Promise<void> {
  await writeRecord(stateDirectory, "leftovers", encodeURIComponent(path), "");
}

/** The pid of a recorded process that still runs. A pid that the kernel gave to another program since does not count. */
export async function findProcess(stateDirectory: string, name: string): Promise<number | undefined> {
  const record = await readFile(processRecord(stateDirectory, name), "utf8").catch(() => "");
  const [pid = "", startTime] = record.trim().split(" ");
  return startTime !== undefined && (await processStartTime(Number(pid))) === startTime ? Number(pid) : undefined;
}

/** Sends SIGKILL to a recorded process and does not wait; `endProcess` does. Gone already is fine. */
export async function killProcess(stateDirectory: string, name: string): Promise<void> {
  const pid = await findProcess(stateDirectory, name);
  if (pid !== undefined && pid > 1) send(pid, "SIGKILL");
}

/** Ends a recorded process: asks, then insists after `patienceMs`. Returns once it is gone; gone already is fine. */
export async function endProcess(stateDirectory: string, name: string, patienceMs = 3000): Promise<void> {
  const pid = await findProcess(stateDirectory, name);
  if (pid !== undefined) await endPid(pid, () => findProcess(stateDirectory, name), patienceMs);
  await rm(processRecord(stateDirectory, name), { force: true });
}

/**
 * Makes the state directory this process's own while it lives. Two racks in one directory would end each other's
 * programs in the middle of a test, and nothing would say why.
 */
export async function claim(stateDirectory: string): Promise<void> {
  await refuseTaken(stateDirectory);
  await recordOwner(stateDirectory);
}

async function recordOwner(stateDirectory: string): Promise<void> {
  await mkdir(join(stateDirectory, "owner"), { recursive: true });
  await writeFile(join(stateDirectory, "owner", String(process.pid)), `${await processStartTime(process.pid)}\n`);
}

async function refuseTaken(stateDirectory: string): Promise<void> {
  const pid = (await livingOwners(stateDirectory)).find((owner) => owner !== process.pid);
  if (pid === undefined) return;
  throw new Error(`${stateDirectory} belongs to process ${pid}, which runs: end it, or choose another directory`);
}

async function livingOwners(stateDirectory: string): Promise<number[]> {
  const living: number[] = [];
  for (const pid of await listRecords(stateDirectory, "owner")) {
    const startTime = (await readFile(join(stateDirectory, "owner", pid), "utf8")).trim();
    if ((await processStartTime(Number(pid))) === startTime) living.push(Number(pid));
  }
  return living;
}

/**
 * Destroys the labs on this machine whose owners are gone, and answers their directories. What they left mounted
 * disturbs others: mkfs.btrfs looks at every mount, and fails at one whose disk lost its power.
 */
export async function destroyAbandoned(): Promise<string[]> {
  const destroyed: string[] = [];
  for (const place of PLACES) {
    for (const name of await readdir(place)) {
      const directory = join(place, name);
      if (!NAME.test(name) || (await listRecords(directory, "owner")).length === 0) continue;
      if ((await livingOwners(directory)).length > 0) continue;
      await destroyEverything(directory);
      destroyed.push(directory);
    }
  }
  return destroyed;
}

/**
 * Ends everything that the state directory names, and nothing else: recorded processes, whatever still runs in the
 * lab's own namespaces, the namespaces, whoever has files open in the directory, and mounts below it. Removes the directory. May be called
 * twice, after a crash, and when nothing is there. Rejects, and touches nothing, while another process owns it.
 */
export async function destroyEverything(stateDirectory: string): Promise<void> {
  await refuseTaken(stateDirectory);
  const processes = await listRecords(stateDirectory, "processes");
  // BMCs first: they would switch nodes on again.
  processes.sort((a, b) => Number(b.endsWith(".bmc")) - Number(a.endsWith(".bmc")));
  for (const name of processes) await endProcess(stateDirectory, name);
  for (const namespace of await listRecords(stateDirectory, "namespaces")) await destroyNamespace(namespace);
  for (const path of await listRecords(stateDirectory, "leftovers"))
    await rm(decodeURIComponent(path), { force: true });
  await endUsersOf(resolve(stateDirectory));
  await unmountBelow(stateDirectory);
  await rm(stateDirectory, { recursive: true, force: true });
}

/** Ends what runs in a namespace of the lab and deletes it; gone already is fine. */
export async function destroyNamespace(namespace: string): Promise<void> {
  const listed = await runProgram("ip", ["netns", "pids", namespace]).catch(() => undefined);
  if (listed === undefined) return;
  for (const pid of listed.split("\n").filter(Boolean).map(Number)) {
    const startTime = await processStartTime(pid);
    if (startTime === undefined) continue;
    await endPid(pid, async () => ((await processStartTime(pid)) === startTime ? pid : undefined), 1000);
  }
  await runProgram("ip", ["netns", "delete", namespace]);
}

async function endPid(pid: number, alive: () => Promise<number | undefined>, patienceMs: number): Promise<void> {
  // 0 and -1 would address whole groups of processes.
  if (!Number.isInteger(pid) || pid <= 1) throw new Error(`${pid} is not a process of the lab`);
  for (const [signal, deadline] of [
    ["SIGTERM", Date.now() + patienceMs],
    ["SIGKILL", Date.now() + patienceMs + 5000],
  ] as const) {
    send(pid, signal);
    while (Date.now() < deadline) {
      if ((await alive()) === undefined) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  throw new Error(`process ${pid} does not end`);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/**
 * Clock ticks since boot at which the process began: with the pid, unique until the next boot. Undefined for zombies too,
 * but not for one that still has threads: what they do to the end holds its locks and sockets.
 */
async function processStartTime(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // proc(5): the second field, the name, is in parentheses and may hold anything; the 3rd is the state, the 20th the
  // number of threads, a zombie's own counted, the 22nd the start.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields?.[0] === "Z" && fields[17] === "1" ? undefined : fields?.[19];
}

async function unmountBelow(directory: string): Promise<void> {
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").map((line) => line.split(" ")[4] ?? "");
  const below = mounts.filter((path) => path.startsWith(`${resolve(directory)}/`));
  // Innermost first; -d gives the loop device back.
  for (const path of below.reverse()) await unmount(path);
}

/** Unmounts; what still uses it ends first. */
async function unmount(path: string): Promise<void> {
  for (const deadline = Date.now() + UNMOUNT_MS; ; ) {
    const busy = await runProgram("umount", ["-d", path]).then(
      () => undefined,
      (error: Error) => error,
    );
    if (busy === undefined) return;
    if (Date.now() > deadline) throw busy;
    await endUsersOf(path);
    // one that was killed a moment ago may not be quite gone
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Ends the processes that have files open in a directory: a lab that was killed leaves some that it could not write down.
 * Those that only stand in it live on, and so do this one, whoever started it, and what runs in rooms: by the same path
 * they mean a directory of their own.
 */
async function endUsersOf(directory: string): Promise<void> {
  for (const pid of await usersOf(directory)) {
    const startTime = await processStartTime(pid);
    if (startTime === undefined) continue;
    await endPid(pid, async () => ((await processStartTime(pid)) === startTime ? pid : undefined), 1000);
  }
}

async function usersOf(directory: string): Promise<number[]> {
  const spared = await ancestors();
  const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 1 && !spared.includes(pid));
  const here = await readlink("/proc/self/ns/pid");
  const isUser = async (pid: number) => {
    if ((await readlink(`/proc/${pid}/ns/pid`).catch(() => "")) !== here) return false;
    const numbers = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = ["exe", "root", ...numbers.map((number) => `fd/${number}`)];
    const targets = await Promise.all(links.map((link) => readlink(`/proc/${pid}/${link}`).catch(() => "")));
    return targets.some((target) => target === directory || target.startsWith(`${directory}/`));
  };
  const users = await Promise.all(pids.map(async (pid) => ((await isUser(pid)) ? [pid] : [])));
  return users.flat();
}

/** This process, the one that started it, and so on. */
async function ancestors(): Promise<number[]> {
  const pids: number[] = [];
  for (let pid = process.pid; pid > 1; ) {
    pids.push(pid);
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    pid = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1] ?? 0);
  }
  return pids;
}

async function writeRecord(stateDirectory: string, kind: string, name: string, content: string): Promise<void> {
  await recordOwner(stateDirectory);
  await mkdir(join(stateDirectory, kind), { recursive: true });
  await writeFile(join(stateDirectory, kind, name), content);
}

async function listRecords(stateDirectory: string, kind: string): Promise<string[]> {
  return await readdir(join(stateDirectory, kind)).catch(() => []);
}
