/** ingot-storaged as a process: socket, restarts, crashes, clients that go away, running nodes that must not notice. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { TargetSpec } from "../../src/drivers/targets/target-server.ts";
import { createStorageClient, type StorageClient } from "../../src/storaged/client.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { LoopPools } from "./loop-pools.ts";
import { Lines } from "./namespaces.ts";
import { ALICE, TargetNetwork } from "./target-network.ts";
import { until } from "./until.ts";

const CONTROL = 303;
const NOBODY = 65534;
const SECRET = "correct-horse-1";
const program = join(import.meta.dirname, "../../src/storaged/main.ts");
const signal = AbortSignal.timeout(170_000);
let pools: LoopPools;
let network: TargetNetwork;
let directory: string;
let imports: string;
let socket: string;
let storaged: ChildProcess;
let log: Lines;
let client: StorageClient;

async function start(...words: string[]): Promise<void> {
  // It ends with this process, even if that is killed.
  const argv = ["--pdeathsig=KILL", process.execPath, program, "--config", join(directory, "ingot.yaml"), ...words];
  storaged = spawn("setpriv", argv, { stdio: "pipe" });
  log = new Lines(storaged);
  await log.next(/"listening"/);
}

async function stop(how: NodeJS.Signals): Promise<number | null> {
  if (storaged.exitCode !== null || storaged.signalCode !== null) return storaged.exitCode;
  const gone = once(storaged, "exit");
  storaged.kill(how);
  await gone;
  return storaged.exitCode;
}

beforeAll(async () => {
  pools = new LoopPools();
  const pool = await pools.make("pool", "xfs");
  imports = pools.plain("imports");
  directory = mkdtempSync(join(tmpdir(), "ingot-storaged-"));
  chmodSync(directory, 0o755);
  socket = join(directory, "run/storaged.sock");
  const config = {
    runtimeDirectory: join(directory, "run"),
    log: { level: "debug" },
    pool: { directory: pool, importDirectories: [imports] },
    networks: [
      {
        name: "test",
        interface: "eth0",
        address: ALICE.portal.address,
        subnet: "10.91.1.0/24",
        portals: [ALICE.portal],
        tgtd: { control: CONTROL },
      },
    ],
  };
  writeFileSync(join(directory, "ingot.yaml"), JSON.stringify(config));
  network = new TargetNetwork(CONTROL);
  await network.startTgtd();
  await start("--group", "nogroup");
  client = createStorageClient(socket);
  writeFileSync(join(imports, "golden.raw"), Buffer.alloc(4 * 1024 ** 2, 0x5a));
  const request = { image: "img-golden", path: join(imports, "golden.raw"), format: "raw" } as const;
  await client.images.import(request, () => {}, signal);
  await client.targets.ensurePortals(CONTROL, [ALICE.portal], [], signal);
});
afterEach(async () => {
  if (storaged.exitCode !== null || storaged.signalCode !== null) await start("--group", "nogroup");
});
afterAll(async () => {
  client?.close();
  if (storaged) await stop("SIGKILL");
  await network?.remove();
  pools.remove();
  rmSync(directory, { recursive: true });
});

async function served(disk: string): Promise<TargetSpec> {
  await client.images.clone("img-golden", disk, signal);
  const target = {
    iqn: targetIqn("app-test", disk),
    units: [{ lun: 1, disk, backing: await client.images.backing(disk), readOnly: false }],
    openTo: ALICE.address,
    chap: { user: `${disk}-1`, secret: SECRET },
  };
  await client.targets.ensureTarget(CONTROL, target, signal);
  return target;
}

async function sessions({ iqn }: TargetSpec): Promise<string[]> {
  const target = (await client.targets.list(CONTROL, signal)).find((one) => one.iqn === iqn);
  return target!.sessions.map((one) => one.id);
}

/** Starts an import that takes hours: a terabyte of holes. */
function endlessImport(through: StorageClient, ended: AbortSignal): Promise<unknown> {
  const path = join(imports, "endless.raw");
  writeFileSync(path, "x");
  truncateSync(path, 1024 ** 4);
  return through.images.import({ image: "img-endless", path, format: "raw" }, () => {}, ended);
}

const children = () =>
  readFileSync(`/proc/${storaged.pid}/task/${storaged.pid}/children`, "utf8").split(" ").filter(Boolean);
const unfinished = () => readdirSync(join(pools.directory, "pool/tmp"));

it("is the only one that works on its pool: another one says who does, and ends", async () => {
  const other = spawn(process.execPath, [program, "--config", join(directory, "ingot.yaml")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  other.stdout.on("data", (text) => {
    said += text;
  });
  const [code] = await once(other, "exit");
  expect([code, said]).toEqual([1, expect.stringContaining(`process ${storaged.pid} works on it already`)]);
});

describe("a running node", () => {
  it("does not notice that storaged is killed and starts again", async () => {
    const target = await served("disk-calm");
    const session = network.open(ALICE, { iqn: target.iqn, ...target.chap });
    try {
      await session.command("read -P 0x5a 0 4M");
      const before = await sessions(target);
      expect(before).toHaveLength(1);
      await stop("SIGKILL");
      expect(await session.command("write -P 1 0 1M")).toMatch(/^wrote/);
      await start("--group", "nogroup");
      await client.targets.ensureTarget(CONTROL, target, signal);
      expect(await sessions(target)).toEqual(before);
      expect(await session.command("read -P 1 0 1M")).toMatch(/^read/);
    } finally {
      await session.kill();
    }
  });

  it("is snapshotted while it writes: what was acknowledged before is in the image, what comes later is not", async () => {
    const target = await served("disk-snapped");
    const [first, second] = [0, 1].map(() => network.open(ALICE, { iqn: target.iqn, ...target.chap }));
    const stop = new AbortController();
    try {
      await first!.command("write -P 7 0 1M");
      const writing = second!.repeat("write -P 8 3M 1M", stop.signal);
      await client.images.snapshot("disk-snapped", "img-snapped", signal);
      await first!.command("write -P 9 0 1M");
      stop.abort();
      await writing;
      await client.images.clone("img-snapped", "disk-second", signal);
      const content = readFileSync((await client.images.backing("disk-second")).path);
      expect(content.subarray(0, 1024 ** 2).every((byte) => byte === 7)).toBe(true);
      expect(content.subarray(1024 ** 2, 3 * 1024 ** 2).every((byte) => byte === 0x5a)).toBe(true);
    } finally {
      await Promise.all([first!.kill(), second!.kill()]);
    }
  });

  it("keeps its disk: revert and removal are refused while a target serves it", async () => {
    const target = await served("disk-busy");
    const busy = { code: "IN_USE", details: { iqn: target.iqn } };
    await expect(client.images.revert("disk-busy", "img-golden", signal)).rejects.toMatchObject(busy);
    await expect(client.images.remove("disk", "disk-busy", signal)).rejects.toMatchObject(busy);
    await client.targets.removeTarget(CONTROL, target.iqn, signal);
    await client.images.revert("disk-busy", "img-golden", signal);
    await client.images.remove("disk", "disk-busy", signal);
  });
});

describe("the socket", () => {
  it("lets in root and the group, nobody else", async () => {
    expect(statSync(socket)).toMatchObject({ uid: 0, gid: NOBODY });
    expect(statSync(socket).mode & 0o777).toBe(0o660);
    expect(await connectAs(NOBODY, NOBODY)).toBe("connected");
    expect(await connectAs(NOBODY, NOBODY - 1)).toBe("EACCES");
  });

  it("is not taken from a storaged that runs", async () => {
    const second = spawn(process.execPath, [program, "--config", join(directory, "ingot.yaml")], { stdio: "pipe" });
    const lines = new Lines(second);
    expect(JSON.parse(await lines.next(/can't start/))).toMatchObject({ code: "LOCKED" });
    expect(second.exitCode ?? (await once(second, "exit"))[0]).toBe(1);
    expect(await client.images.list(signal)).not.toEqual([]);
  });

  it("may come from systemd", async () => {
    const path = join(directory, "inherited.sock");
    const server = createServer().listen(path);
    await once(server, "listening");
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    await stop("SIGTERM");
    const shell = 'LISTEN_PID=$$ exec "$@"';
    storaged = spawn("sh", ["-c", shell, "sh", process.execPath, program, "--config", join(directory, "ingot.yaml")], {
      stdio: ["ignore", "pipe", "pipe", fd],
      env: { ...process.env, LISTEN_FDS: "1", LISTEN_FDNAMES: "storaged" },
    });
    log = new Lines(storaged);
    await log.next(/"inherited":true/);
    // Both processes share the listening socket: this one must not take connections. Its close removes the one name.
    linkSync(path, `${path}2`);
    server.close();
    const other = createStorageClient(`${path}2`);
    try {
      expect(await other.images.list(signal)).not.toEqual([]);
    } finally {
      other.close();
      await stop("SIGTERM");
    }
  });
});

describe("ending", () => {
  it("is clean on SIGTERM, with calls under way", async () => {
    const running = endlessImport(client, signal).catch((error) => error);
    await until("the import runs", () => children().length > 0);
    expect(await stop("SIGTERM")).toBe(0);
    expect(await running).toMatchObject({ code: "UNAVAILABLE", retryable: true });
  });

  it("by kill -9 leaves no import running, and the next start tidies up", async () => {
    const running = endlessImport(client, signal).catch((error) => error);
    await until("the import runs", () => children().length > 0);
    const [child] = children();
    await stop("SIGKILL");
    await running;
    await until("the child is gone", () => !isRunning(Number(child)));
    expect(unfinished()).toHaveLength(1);
    await start("--group", "nogroup");
    expect(unfinished()).toEqual([]);
  });
});

it("needs no more than the few capabilities that its unit leaves it", async () => {
  await stop("SIGTERM");
  const few = "-all,+dac_override,+dac_read_search,+setuid,+setgid,+setpcap,+sys_admin";
  const argv = [`--bounding-set=${few}`, "--inh-caps=-all", "--no-new-privs", process.execPath, program];
  storaged = spawn("setpriv", [...argv, "--config", join(directory, "ingot.yaml")], { stdio: "pipe" });
  log = new Lines(storaged);
  await log.next(/"listening"/);
  execFileSync("qemu-img", ["convert", "-O", "qcow2", "golden.raw", "golden.qcow2"], { cwd: imports });
  chmodSync(join(imports, "golden.qcow2"), 0o600);
  for (const format of ["raw", "qcow2"] as const) {
    const request = { image: `img-few-${format}`, path: join(imports, `golden.${format}`), format };
    await client.images.import(request, () => {}, signal);
  }
  await client.images.clone("img-few-qcow2", "disk-few", signal);
  await client.images.revert("disk-few", "img-few-raw", signal);
  await client.targets.list(CONTROL, signal);
  await stop("SIGTERM");
});

describe("a call", () => {
  it("ends when its signal fires, and nothing of it runs on", async () => {
    const abort = new AbortController();
    const running = endlessImport(client, abort.signal);
    await until("the import runs", () => children().length > 0);
    abort.abort();
    await expect(running).rejects.toMatchObject({ code: "CANCELLED" });
    expect(children()).toEqual([]);
    expect(unfinished()).toEqual([]);
    await expect(endlessImport(client, AbortSignal.timeout(50))).rejects.toMatchObject({
      code: "TIMEOUT",
      retryable: true,
    });
  });

  it("ends when its client goes away", async () => {
    const other = createStorageClient(socket);
    const running = endlessImport(other, signal).catch((error) => error);
    await until("the import runs", () => children().length > 0);
    other.close();
    expect(await running).toMatchObject({ code: "UNAVAILABLE" });
    await until("nothing of it is left", () => children().length === 0 && unfinished().length === 0);
  });

  it("waits for a storaged that comes back soon, and fails UNAVAILABLE when it does not", async () => {
    await stop("SIGKILL");
    const impatient = createStorageClient(socket, { waitMs: 100 });
    const error = await impatient.images.list(signal).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    const patient = client.images.list(signal);
    await start("--group", "nogroup");
    expect(await patient).not.toEqual([]);
    impatient.close();
  });

  it("never brings a secret into the log, whether it succeeds or fails", async () => {
    const target = await served("disk-quiet");
    await client.targets.removeTarget(CONTROL, target.iqn, signal);
    const units = [{ ...target.units[0]!, backing: { type: "file" as const, path: "/nowhere" } }];
    const missing = { ...target, units };
    await expect(client.targets.ensureTarget(CONTROL, missing, signal)).rejects.toMatchObject({
      code: "DRIVER_FAILED",
    });
    const short = { ...target, chap: { ...target.chap, secret: "bad,secret" } };
    await expect(client.targets.ensureTarget(CONTROL, short, signal)).rejects.toMatchObject({
      code: "INVALID",
      details: { field: "target.chap.secret" },
    });
    await log.next(/target\.chap\.secret.*call failed/);
    expect(log.all.join("\n")).toContain("targets.ensure");
    expect(log.all.join("\n")).not.toMatch(new RegExp(`${SECRET}|bad,secret`));
    await client.targets.removeTarget(CONTROL, target.iqn, signal);
  });
});

/** What connecting to the socket as another user comes to. */
function connectAs(uid: number, gid: number): Promise<string> {
  const groups = process.getgroups!();
  process.setgroups!([]);
  process.setegid!(gid);
  process.seteuid!(uid);
  try {
    const connection = connect(socket);
    return new Promise((resolve) => {
      connection.on("connect", () => {
        connection.destroy();
        resolve("connected");
      });
      connection.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "failed"));
    });
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
    process.setgroups!(groups);
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
