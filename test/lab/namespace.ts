import type { ChildProcess } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { asNobody } from "./as-nobody.ts";
import { destroyNamespace, type LabProcessOptions, recordNamespace, startProcess } from "./lab-state.ts";
import { type ProgramOptions, runProgram } from "./program.ts";

export type BridgeOptions = {
  /** Linux interface name, at most 15 characters. */
  name: string;
  /** The appliance's address on it. */
  address: string;
  prefix: number;
};

export type LabNetworkOptions = {
  /** Folder that records what the lab made (see lab-state.ts). */
  stateDirectory: string;
  /** Name of the network namespace: made anew, an old one of that name goes. */
  namespace: string;
  /** One bridge per provisioning network; the appliance's address lies on the bridge itself. */
  bridges: BridgeOptions[];
};

/** A network namespace with provisioning bridges in it. */
export type LabNetwork = {
  stateDirectory: string;
  namespace: string;
  /** The namespace in which the bridges' ports for nodes are: the same one, or a switch's own. */
  portsIn: string;
  /** Where an unprivileged program of the lab finds this repository, which itself may lie where only root may look. */
  repository: string;
  /** The argument vector that runs another one inside. */
  inside(argv: string[]): string[];
  /** The same as user nobody. */
  insideUnprivileged(argv: string[]): string[];
  /** Runs a program inside to its end and answers its output. */
  run(argv: string[], options?: ProgramOptions): Promise<string>;
  /** Starts a daemon inside and records it; `endProcess` ends it. */
  start(argv: string[], options: LabProcessOptions): Promise<ChildProcess>;
  /** The same as user nobody, who starts in `repository`. */
  startUnprivileged(argv: string[], options: LabProcessOptions): Promise<ChildProcess>;
  /** Gives a bridge, or what stands for it, the appliance's address. */
  bringUp(bridge: BridgeOptions): Promise<void>;
  /** Cables an interface to a bridge. */
  plug(port: string, bridge: string): Promise<void>;
  /** Adds a tap for a virtual machine to a bridge; there already is fine. */
  addTap(tap: string, bridge: string): Promise<void>;
  /** Ends what runs inside and deletes the namespace. May be called twice. */
  destroy(): Promise<void>;
};

/**
 * Makes the namespace. Its loopback is up, so that each BMC can have an address of its own in 127.0.0.0/8, and
 * unprivileged programs may bind DHCP's, TFTP's and HTTP's ports. Nothing in it reaches the machine's networks.
 */
export async function createLabNetwork(options: LabNetworkOptions): Promise<LabNetwork> {
  const { stateDirectory, namespace, bridges } = options;
  const mountPoint = join(resolve(stateDirectory), "repository");
  await mkdir(mountPoint, { recursive: true });
  await recordNamespace(stateDirectory, namespace);
  await destroyNamespace(namespace);
  await runProgram("ip", ["netns", "add", namespace]);

  // Not `ip netns exec`: that copies the mount table, and a copy of a loop mount keeps the loop device busy.
  const inside = (argv: string[]) => ["nsenter", `--net=/run/netns/${namespace}`, "--", ...argv];
  const insideUnprivileged = (argv: string[]) => inside(asNobody(argv, mountPoint));
  const run = (argv: string[], programOptions?: ProgramOptions) => {
    const [program = "", ...args] = inside(argv);
    return runProgram(program, args, programOptions);
  };

  const bringUp = async ({ name, address, prefix }: BridgeOptions) => {
    await run(["ip", "address", "add", `${address}/${prefix}`, "brd", "+", "dev", name]);
    await setKernelParameter(run, `net/ipv6/conf/${name}/disable_ipv6`, "0");
    await run(["ip", "link", "set", name, "up"]);
  };
  const plug = async (port: string, bridge: string) => {
    await run(["ip", "link", "set", port, "master", bridge, "up"]);
  };

  await run(["ip", "link", "set", "lo", "up"]);
  await setKernelParameter(run, "net/ipv4/ip_unprivileged_port_start", "0");
  await setKernelParameter(run, "net/ipv6/conf/default/disable_ipv6", "1");
  for (const bridge of bridges) {
    await run(["ip", "link", "add", bridge.name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"]);
    await bringUp(bridge);
  }

  return {
    stateDirectory,
    namespace,
    portsIn: namespace,
    repository: mountPoint,
    inside,
    insideUnprivileged,
    run,
    // nsenter, unshare and setpriv exec: the pid recorded is the program's.
    start: (argv, processOptions) => startProcess(stateDirectory, inside(argv), processOptions),
    startUnprivileged: (argv, processOptions) => startProcess(stateDirectory, insideUnprivileged(argv), processOptions),
    bringUp,
    plug,
    async addTap(tap, bridge) {
      await makeTap(namespace, tap);
      await plug(tap, bridge);
    },
    destroy: () => destroyNamespace(namespace),
  };
}

/** Makes a tap in a namespace; there already is fine. */
export async function makeTap(namespace: string, tap: string): Promise<void> {
  const links = JSON.parse(await runProgram("ip", ["-n", namespace, "-json", "link", "show"])) as { ifname: string }[];
  if (links.some((link) => link.ifname === tap)) return;
  await runProgram("ip", ["-n", namespace, "tuntap", "add", "dev", tap, "mode", "tap"]);
}

/** What is under /proc/sys/net belongs to the namespace of whoever opens it. */
async function setKernelParameter(run: LabNetwork["run"], path: string, value: string): Promise<void> {
  await run(["sh", "-c", 'echo "$1" >"/proc/sys/$0"', path, value]);
}
