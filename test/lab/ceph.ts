import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { endProcess, killProcess, type LabProcessOptions, startProcess } from "./lab-state.ts";
import { type ProgramOptions, runProgram } from "./program.ts";

const MIB = 1024 ** 2;
const READY_MS = 150_000;
/** Longest that a command may take. */
const PATIENCE_MS = 80_000;
/** Of a log. */
const LAST_WORDS = 4_000;

/** Where a cluster runs: on this machine's loopback, or on a lab network's. */
export type CephHost = {
  stateDirectory: string;
  run(argv: string[], options?: ProgramOptions): Promise<string>;
  start(argv: string[], options: LabProcessOptions): Promise<ChildProcess>;
};

export type CephOptions = {
  /**
   * Its monitor takes this port of 127.0.0.1 and the next one, its other daemons some of the hundred behind. Below 32768:
   * from there on, any connection to somewhere else may have one.
   */
  port?: number;
  /** Room of its one OSD (4 GiB); its file is sparse. */
  sizeBytes?: number;
  /** Where the cluster's files lie: below the state directory unless told; a tmpfs makes it faster. */
  directory?: string;
};

export type CephDaemon = "mon" | "mgr" | "osd";

/** A Ceph of one node, with one pool for images. */
export type CephCluster = {
  /** Configuration, which names the keyring of `user`. */
  conf: string;
  pool: string;
  /** The user that an appliance is given: rights on the pool and no other. */
  user: string;
  /** Runs `ceph` as the administrator. */
  ceph(...args: string[]): Promise<string>;
  /** Runs `rbd` as the administrator. */
  rbd(...args: string[]): Promise<string>;
  /** Starts a daemon that was ended, and waits until the cluster serves again. */
  start(daemon: CephDaemon): Promise<void>;
  end(daemon: CephDaemon, how?: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Holds a daemon still, as a machine that hangs, or lets it go on. */
  signal(daemon: CephDaemon, signal: "SIGSTOP" | "SIGCONT"): Promise<void>;
};

/** This machine's own loopback as a place for a cluster. */
export function loopbackHost(stateDirectory: string): CephHost {
  return {
    stateDirectory,
    run: ([program = "", ...args], options) => runProgram(program, args, options),
    start: (argv, options) => startProcess(stateDirectory, argv, options),
  };
}

/** Makes a cluster and waits until its pool takes writes: a few seconds. Its daemons are recorded in the state directory. */
export async function createCephCluster(host: CephHost, options: CephOptions = {}): Promise<CephCluster> {
  const { port = 28_000, sizeBytes = 4096 * MIB, directory = join(host.stateDirectory, "ceph") } = options;
  const [pool, user] = ["ingot", "ingot"];
  const at = (...names: string[]) => join(directory, ...names);
  const conf = at("ceph.conf");
  const adminConf = at("admin.conf");
  const pids = new Map<CephDaemon, number>();

  for (const name of ["mon.a", "mgr.x", "osd.0", "log"]) await mkdir(at(name), { recursive: true });
  const fsid = randomUUID();
  await writeFile(adminConf, configuration({ at, fsid, port, sizeBytes, keyring: at("keyring.admin") }));
  await writeFile(conf, configuration({ at, fsid, port, sizeBytes, keyring: at("keyring.ingot") }));
  await makeKeyrings(host, at, pool, user);

  // by themselves they wait for ever, and a test that ran out of time would not say for what
  const bounded = (): ProgramOptions => ({ signal: AbortSignal.timeout(PATIENCE_MS) });
  const ceph = (...args: string[]) =>
    host.run(["ceph", "--conf", adminConf, "--connect-timeout", "60", ...args], bounded());
  const state = async () => (await Promise.all([ceph("status"), ceph("osd", "dump")])).join("\n");
  const rbd = async (...args: string[]) => {
    const limits = ["--rados-mon-op-timeout", "60", "--rados-osd-op-timeout", "60"];
    try {
      return await host.run(["rbd", "--conf", adminConf, ...limits, ...args], bounded());
    } catch (error) {
      throw new Error(`rbd ${args.join(" ")}: ${(error as Error).message}\n${await state().catch(String)}`, {
        cause: error,
      });
    }
  };

  const launch = async (daemon: CephDaemon, argv: string[]) => {
    const output = { stdio: ["ignore", "ignore", "ignore"] as ("ignore" | "pipe" | number)[] };
    const child = await host.start([...argv, "--conf", adminConf, "--foreground"], {
      name: `ceph-${daemon}`,
      ...output,
    });
    pids.set(daemon, child.pid!);
  };
  const start = async (daemon: CephDaemon) => {
    if (daemon === "mon") {
      await launch("mon", ["ceph-mon", "--id", "a"]);
      // a client that asks while the monitor comes up may hunt for it longer than it may take: each try is a new one
      const ask = ["ceph", "--conf", adminConf, "--connect-timeout", "10", "mon", "stat"];
      await until("monitor", async () => (await host.run(ask, bounded())) !== "", at("log/mon.a.log"));
    }
    if (daemon === "mgr") await launch("mgr", ["ceph-mgr", "--id", "x", "--keyring", at("mgr.x/keyring")]);
    if (daemon === "osd") {
      // a monitor that was not told of the end would wait for it to be noticed
      await ceph("osd", "down", "0").catch(() => {});
      await launch("osd", ["ceph-osd", "--id", "0", "--keyring", at("osd.0/keyring")]);
      await until("OSD up", async () => (await ceph("osd", "stat", "--format", "json")).includes('"num_up_osds":1'));
    }
  };

  const monmap = at("monmap");
  const address = `[v2:127.0.0.1:${port},v1:127.0.0.1:${port + 1}]`;
  const release = ["--enable-all-features", "--set-min-mon-release", "pacific"];
  await host.run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, ...release, monmap]);
  const mkfs = ["--mkfs", "--monmap", monmap, "--conf", adminConf];
  await host.run(["ceph-mon", "--id", "a", ...mkfs, "--keyring", at("keyring.mkfs")]);
  await start("mon");
  await start("mgr");
  const uuid = randomUUID();
  await ceph("osd", "new", uuid, "0");
  await host.run(["ceph-osd", "--id", "0", ...mkfs, "--osd-uuid", uuid, "--keyring", at("osd.0/keyring")]);
  await start("osd");
  await createPool({ ceph, rbd }, pool);
  // the manager counts the room, a moment later
  await until("room", async () => {
    const { pools } = JSON.parse(await ceph("df", "--format", "json")) as {
      pools: { name: string; stats: { max_avail: number } }[];
    };
    return pools.some(({ name, stats }) => name === pool && stats.max_avail > 0);
  });
  await rm(at("keyring.mkfs"));

  return {
    conf,
    pool,
    user,
    ceph,
    rbd,
    start,
    async end(daemon, how = "SIGTERM") {
      if (how === "SIGKILL") await killProcess(host.stateDirectory, `ceph-${daemon}`);
      await endProcess(host.stateDirectory, `ceph-${daemon}`, 20_000);
    },
    async signal(daemon, signal) {
      const pid = pids.get(daemon);
      if (pid !== undefined && pid > 1) process.kill(pid, signal);
    },
  };
}

type Configuration = { at: (name: string) => string; fsid: string; port: number; sizeBytes: number; keyring: string };

async function createPool({ ceph, rbd }: Pick<CephCluster, "ceph" | "rbd">, pool: string): Promise<void> {
  await ceph("osd", "pool", "create", pool, "8", "8");
  await ceph("osd", "pool", "set", pool, "size", "1", "--yes-i-really-mean-it");
  await rbd("pool", "init", pool);
}

/** Makes a pool for volumes of others, which the appliance's user may take from and add to. */
export async function createVolumePool(cluster: CephCluster, pool: string): Promise<void> {
  await createPool(cluster, pool);
  const caps = [cluster.pool, pool].map((name) => `profile rbd pool=${name}`).join(", ");
  await cluster.ceph("auth", "caps", `client.${cluster.user}`, "mon", "profile rbd", "osd", caps, "mgr", caps);
}

/**
 * One copy of everything, small caches, and monitors that are in a hurry: nobody else votes. The grace is for read leases,
 * 0.8 of it: an OSD that was held still for longer than its leases leaves some placement groups without one for good
 * (`laggy`), for nobody else is there to grant it.
 */
function configuration({ at, fsid, port, sizeBytes, keyring }: Configuration): string {
  return `[global]
fsid = ${fsid}
mon_host = [v2:127.0.0.1:${port},v1:127.0.0.1:${port + 1}]
mon_initial_members = a
public_network = 127.0.0.0/8
cluster_network = 127.0.0.0/8
ms_bind_port_min = ${port + 100}
ms_bind_port_max = ${port + 199}
auth_allow_insecure_global_id_reclaim = false
keyring = ${keyring}
run_dir = ${at("run")}
admin_socket =
log_file = ${at("log")}/$name.log
log_to_stderr = false
crash_dir = ${at("crash")}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
osd_crush_chooseleaf_type = 0
osd_heartbeat_grace = 3600
[mon]
mon_data = ${at("mon.a")}
mon_memory_target = ${256 * MIB}
rocksdb_cache_size = ${32 * MIB}
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_data_avail_crit = 1
mon_data_avail_warn = 2
[mgr]
mgr_data = ${at("mgr.x")}
mgr_initial_modules =
[osd]
osd_data = ${at("osd.0")}
osd_objectstore = bluestore
osd_memory_target = ${896 * MIB}
osd_memory_cache_min = ${64 * MIB}
bluestore_block_size = ${sizeBytes}
bluestore_block_create = true
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 2
`;
}

/** Keys of the daemons, the administrator, and the appliance's user: the least that it needs. */
async function makeKeyrings(host: CephHost, at: (name: string) => string, pool: string, user: string): Promise<void> {
  const all = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"];
  const rbd = [
    "--cap",
    "mon",
    "profile rbd",
    "--cap",
    "osd",
    `profile rbd pool=${pool}`,
    "--cap",
    "mgr",
    `profile rbd pool=${pool}`,
  ];
  const keys: [file: string, name: string, caps: string[]][] = [
    ["keyring.mkfs", "mon.", ["--cap", "mon", "allow *"]],
    ["keyring.admin", "client.admin", all],
    ["mgr.x/keyring", "mgr.x", ["--cap", "mon", "allow profile mgr", "--cap", "osd", "allow *"]],
    [
      "osd.0/keyring",
      "osd.0",
      ["--cap", "mon", "allow profile osd", "--cap", "mgr", "allow profile osd", "--cap", "osd", "allow *"],
    ],
    ["keyring.ingot", `client.${user}`, rbd],
  ];
  for (const [file, name, caps] of keys) {
    await host.run(["ceph-authtool", "--create-keyring", at(file), "--gen-key", "--name", name, ...caps]);
    await chmod(at(file), 0o600);
    if (file !== "keyring.mkfs") {
      await host.run(["ceph-authtool", at("keyring.mkfs"), "--import-keyring", at(file)]);
    }
  }
}

/** `log`: of the daemon that is waited for, told when it doesn't come. */
async function until(what: string, ask: () => Promise<boolean>, log?: string): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (!(await ask().catch(() => false))) {
    if (Date.now() > deadline) {
      const said = log ? await readFile(log, "utf8").catch(String) : "";
      throw new Error(`${what}: not within ${READY_MS} ms\n${said.slice(-LAST_WORDS)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
