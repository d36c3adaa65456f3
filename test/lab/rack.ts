import type { ChildProcess } from "node:child_process";
import { openSync } from "node:fs";
import { chown, readFile, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { stringify } from "yaml";
import { gatherBootAssets } from "../../boot-assets/gather.ts";
import { tgtdArguments } from "../../src/drivers/targets/tgt-daemon.ts";
import { makePool } from "../../src/storaged/make-pool.ts";
import { NOBODY } from "./as-nobody.ts";
import { type CephCluster, createCephCluster } from "./ceph.ts";
import { isolatePortals, withPortalSockets } from "./isolated-portals.ts";
import { claim, destroyEverything, endProcess, findProcess, recordTgtdSocket, startProcess } from "./lab-state.ts";
import { createLabNetwork, type LabNetwork } from "./namespace.ts";
import { runProgram } from "./program.ts";
import { makeDirectories, PREFIX, rackConfiguration } from "./rack-config.ts";
import { BMC_NETWORK, createSwitchedNetwork } from "./switched-network.ts";
import { createVirtualNode, type VirtualNode, type VirtualNodeOptions } from "./virtual-node.ts";

const POOL_BYTES = 8 * 1024 ** 3;
const START_SECONDS = 60;
const SYSTEMD = resolve(import.meta.dirname, "../../systemd");

export type RackOptions = {
  /** Everything the rack makes lies in here; an earlier rack there is destroyed first. */
  stateDirectory: string;
  /** Unique on this machine, at most 8 letters: names the network namespace. */
  name: string;
  /** tgtd's control numbers are machine-wide: this one and the following are used, one per network. */
  control: number;
  /** Provisioning networks; one by default. */
  networks?: number;
  /**
   * Behind an Open vSwitch: the projects, each of which has a provisioning network to itself (in the place of `networks`),
   * whose tgtd is in a network namespace of its own.
   */
  isolatedProjects?: string[];
  /** Length of the networks' prefix (24); shorter ones overlap, so only for a single network. */
  prefix?: number;
  /** Where images and disks live; `rbd` starts a Ceph of one node. INGOT_LAB_STORAGE by default, or else `file`. */
  storage?: "file" | "rbd";
  /** Size of the pool's file (8 GiB), which is sparse. */
  poolBytes?: number;
  /** Merged over the configuration of the rack. */
  config?: Record<string, unknown>;
  /** Merged over the configuration of every network. */
  networkConfig?: Record<string, unknown>;
  /** Makes the file that holds the pool, file system included; a sparse one by default. */
  poolFile?: (stateDirectory: string) => Promise<string>;
  /** What runs as ingotd instead of src/main.ts, relative to the repository. */
  ingotd?: string;
};

export type RackNode = VirtualNode & {
  network: string;
  /** Whose it is, in a rack with isolated projects. */
  project?: string;
};

/** A whole appliance with its own tgtd, storaged and ingotd, and virtual nodes on its provisioning networks. */
export type Rack = {
  network: LabNetwork;
  stateDirectory: string;
  /** With storage `rbd`. */
  ceph?: CephCluster;
  /** Control number of the first network's tgtd. */
  control: number;
  configFile: string;
  apiSocket: string;
  /** Where images may be imported from. */
  importDirectory: string;
  /** The appliance's address on each network. */
  addresses: string[];
  /** Of a rack with isolated projects: the one of each network. */
  projects?: string[];
  /** Does once more what the appliance does at its start for isolated networks. */
  isolateNetworks(): Promise<unknown>;
  /** Where the nodes of each network reach their disks. */
  portals: string[];
  /** Cables a new node to a network (the first by default) and registers it. */
  addNode(options: AddNodeOptions): Promise<RackNode>;
  /** Copies an image file to where it may be imported from, and imports it. */
  importImage(name: string, file: string, options?: { phonesHome?: boolean; format?: "raw" | "qcow2" }): Promise<void>;
  /** Runs `ingot` with these arguments and answers its output. */
  ingot(...args: string[]): Promise<string>;
  /** The same with --json, parsed. */
  ingotJson<T>(...args: string[]): Promise<T>;
  /** The arguments that run `ingot` against this rack, for people. */
  ingotCommand: string[];
  startIngotd(extra?: { environment?: NodeJS.ProcessEnv }): Promise<ChildProcess>;
  startStoraged(): Promise<void>;
  startTgtd(network?: number): Promise<void>;
  /** Answers iPXE's search for IPv6 routers, as on an appliance. */
  startRouterAdvertisements(network?: number): Promise<void>;
  /** Ends one of the daemons (`ingotd`, `storaged`, `tgtd-0`), with SIGKILL when told. */
  end(daemon: string, how?: "SIGTERM" | "SIGKILL"): Promise<void>;
  destroy(): Promise<void>;
};

export type AddNodeOptions = {
  name: string;
  firmware: "bios" | "uefi";
  network?: number;
  register?: boolean;
  /** Node setting: `ours` chains our loader even to an iPXE ROM. */
  loaderSetting?: "auto" | "ours";
} & Pick<VirtualNodeOptions, "loader" | "localDisk" | "localDrive" | "nicModel" | "memoryMib" | "retriesBoot">;

/** Makes the rack and starts its appliance. */
export async function createRack(options: RackOptions): Promise<Rack> {
  const { name, control, isolatedProjects: projects, prefix = PREFIX, poolBytes = POOL_BYTES } = options;
  const { networks: networkCount = projects?.length ?? 1 } = options;
  const stateDirectory = resolve(options.stateDirectory);
  await destroyEverything(stateDirectory);
  await claim(stateDirectory);
  const paths = await makeDirectories(stateDirectory);
  const interfaces = Array.from({ length: networkCount }, (_, index) => `prov${index}`);
  const addresses = interfaces.map((_, index) => `10.77.${index}.1`);
  const portals = projects ? interfaces.map((_, index) => `10.77.${index}.2`) : addresses;
  const networkOptions = {
    stateDirectory,
    namespace: `ingot-${name}`,
    bridges: interfaces.map((one, index) => ({ name: one, address: addresses[index] as string, prefix })),
  };
  const switched = projects && (await createSwitchedNetwork(networkOptions));
  const network = switched ?? (await createLabNetwork(networkOptions));
  const isolateNetworks = () => isolatePortals(network, interfaces, portals);
  const apart = projects ? await isolateNetworks() : [];
  const storage = options.storage ?? process.env.INGOT_LAB_STORAGE ?? "file";
  const ceph = storage === "rbd" ? await createCephCluster(network, { sizeBytes: poolBytes }) : undefined;
  const configFile = join(stateDirectory, "ingot.yaml");
  await writeFile(
    configFile,
    stringify(rackConfiguration(options, paths, interfaces, { addresses, portals, ceph, switched })),
  );
  if (!ceph) {
    await makePool({
      directory: paths.pool,
      file: (await options.poolFile?.(stateDirectory)) ?? join(stateDirectory, "pool.xfs"),
      sizeBytes: poolBytes,
      sparse: true,
    });
  }
  await gatherBootAssets(paths.assets);

  const apiSocket = join(paths.run, "api.sock");
  const node = process.execPath;
  const repository = resolve(import.meta.dirname, "../..");
  const ingotCommand = [node, join(repository, "src/cli/main.ts"), "--socket", apiSocket];
  const ingot = (...args: string[]) => runProgram(node, [...ingotCommand.slice(1), ...args]);
  let nodeCount = 0;

  const logTo = (daemon: string) => openSync(join(stateDirectory, `${daemon}.log`), "a");

  const rack: Rack = {
    network,
    stateDirectory,
    ...(ceph ? { ceph } : {}),
    control,
    configFile,
    apiSocket,
    importDirectory: paths.import,
    addresses,
    ...(projects ? { projects } : {}),
    portals,
    isolateNetworks,
    ingot,
    ingotCommand,
    ingotJson: async (...args) => JSON.parse(await ingot("--json", ...args)),
    async startTgtd(index = 0) {
      const argv = ["tgtd", ...tgtdArguments({ control: control + index, loopbackPort: 3260 + index })];
      await recordTgtdSocket(stateDirectory, control + index);
      const log = logTo(`tgtd-${index}`);
      const options = { name: `tgtd-${index}`, stdio: ["ignore" as const, log, log] };
      const namespace = apart[index];
      if (namespace) await startProcess(stateDirectory, ["nsenter", `--net=/run/netns/${namespace}`, ...argv], options);
      else await network.start(argv, options);
    },
    async startRouterAdvertisements(index = 0) {
      const name = interfaces[index] as string;
      const template = await readFile(join(SYSTEMD, "router-advertisements.conf"), "utf8");
      const file = join(stateDirectory, `radvd-${name}.conf`);
      await writeFile(file, template.replace("interface INTERFACE", `interface ${name}`), { mode: 0o644 });
      const log = logTo(`radvd-${name}`);
      const argv = ["radvd", "--nodaemon", "--logmethod", "stderr", "--config", file, "--pidfile", `${file}.pid`];
      await network.start(argv, { name: `radvd-${name}`, stdio: ["ignore", log, log] });
    },
    async startStoraged() {
      const program = ["--max-semi-space-size=1", join(repository, "src/storaged/main.ts")];
      const argv = [node, ...program, "--config", configFile, "--group", "nogroup"];
      const log = logTo("storaged");
      const env = { ...process.env, NODE_COMPILE_CACHE: join(stateDirectory, "storaged-cache") };
      await network.start(argv, { name: "storaged", stdio: ["ignore", log, log], env });
    },
    async startIngotd({ environment = {} } = {}) {
      const main = options.ingotd ?? "src/main.ts";
      const argv = [node, join(repository, main)];
      const log = logTo("ingotd");
      const child = await startProcess(
        stateDirectory,
        withPortalSockets(apart, interfaces, network.insideUnprivileged([...argv, "--config", configFile])),
        {
          name: "ingotd",
          stdio: ["ignore", log, log],
          env: { ...process.env, NODE_COMPILE_CACHE: join(stateDirectory, "compile-cache"), ...environment },
        },
      );
      await answering(rack, child);
      return child;
    },
    async end(daemon, how = "SIGTERM") {
      const pid = await findProcess(stateDirectory, daemon);
      if (how === "SIGKILL" && pid !== undefined && pid > 1) process.kill(pid, "SIGKILL");
      await endProcess(stateDirectory, daemon);
    },
    async addNode({ network: index = 0, register = true, loaderSetting = "auto", ...node }) {
      const owner = projects?.[index];
      nodeCount += 1;
      const mac = `52:54:00:77:${index.toString(16).padStart(2, "0")}:${nodeCount.toString(16).padStart(2, "0")}`;
      const bmcAddress = projects ? `${BMC_NETWORK}.${nodeCount}` : `127.0.1.${nodeCount}`;
      const virtual = await createVirtualNode(network, {
        ...node,
        mac,
        bridge: interfaces[index] as string,
        bmc: { address: bmcAddress },
      });
      const passwordFile = join(paths.secrets, `${node.name}.password`);
      await writeFile(passwordFile, virtual.bmc.password, { mode: 0o400 });
      await chown(passwordFile, NOBODY, NOBODY);
      if (register) {
        const bmc = ["--bmc", `ipmi://${virtual.bmc.user}@${bmcAddress}:${virtual.bmc.port}`];
        const settings = [
          "--firmware",
          node.firmware,
          "--loader",
          loaderSetting,
          "--network",
          interfaces[index] as string,
        ];
        const isolated = owner === undefined ? [] : ["--project", owner, "--port", `tap-${node.name}`];
        const password = ["--bmc-password-file", passwordFile];
        await ingot("node", "add", node.name, "--mac", mac, ...settings, ...isolated, ...bmc, ...password);
      }
      return { ...virtual, network: interfaces[index] as string, ...(owner === undefined ? {} : { project: owner }) };
    },
    async importImage(image, file, { phonesHome = true, format = "raw" } = {}) {
      const copy = join(paths.import, `${image}-${basename(file)}`);
      await runProgram("cp", ["--sparse=always", "--reflink=auto", file, copy]);
      const flags = phonesHome ? ["--phones-home"] : [];
      await ingot("image", "import", image, "--file", copy, "--format", format, ...flags);
    },
    destroy: () => destroyEverything(stateDirectory),
  };
  for (const index of interfaces.keys()) {
    await rack.startTgtd(index);
    await rack.startRouterAdvertisements(index);
  }
  await rack.startStoraged();
  await rack.startIngotd();
  for (const project of projects ?? []) await ingot("project", "add", project);
  return rack;
}

async function answering(rack: Rack, ingotd: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_SECONDS * 1000;
  for (;;) {
    try {
      await rack.ingot("status");
      return;
    } catch (error) {
      if (ingotd.exitCode !== null || Date.now() > deadline) {
        const log = await readFile(join(rack.stateDirectory, "ingotd.log"), "utf8").catch(() => "");
        throw new Error(`ingotd did not start: ${error}\n${log.split("\n").slice(-10).join("\n")}`);
      }
    }
  }
}
