import { chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NOBODY } from "./as-nobody.ts";
import { startBmc } from "./bmc.ts";
import { recordNamespace } from "./lab-state.ts";
import { runProgram } from "./program.ts";
import type { Rack } from "./rack.ts";

const PASSWORD = "secret-of-bmc";

export type QuickMachine = {
  name: string;
  mac: string;
  /** Number of its network in the rack; the first by default. In a rack with isolated projects, it belongs to that one's. */
  network?: number;
  /** There; the node keeps it. */
  address: string;
  /** Loopback address of its BMC. */
  bmcAddress: string;
  /** Of the network namespace that it lives in. */
  namespace: string;
  /** The argument vector of what runs there while it has power; its output goes to `<directory>/qemu.log`. */
  program?: string[];
};

/**
 * Registers a node that boots in a fraction of a second: behind its BMC (ipmi_sim) is no QEMU but a program. Unless told
 * otherwise that says, from the node's address, that its OS is up; it never reads its disk, and the appliance can't tell.
 * Answers its directory.
 */
export async function addQuickMachine(rack: Rack, machine: QuickMachine): Promise<string> {
  const { name, mac, network: index = 0, address, bmcAddress, namespace } = machine;
  const { stateDirectory } = rack;
  await recordNamespace(stateDirectory, namespace);
  await runProgram("ip", ["netns", "add", namespace]);
  const cable = `to-${name}`;
  const peer = ["peer", "name", "nic", "netns", namespace];
  await runProgram("ip", ["-n", rack.network.portsIn, "link", "add", cable, "type", "veth", ...peer]);
  await runProgram("nsenter", [`--net=/run/netns/${namespace}`, "ethtool", "-K", "nic", "tx", "off"]);
  await rack.network.plug(cable, `prov${index}`);
  await runProgram("ip", ["-n", namespace, "link", "set", "nic", "address", mac]);
  await runProgram("ip", ["-n", namespace, "address", "add", `${address}/24`, "dev", "nic"]);
  await runProgram("ip", ["-n", namespace, "link", "set", "nic", "up"]);

  const directory = join(stateDirectory, "nodes", name);
  await mkdir(directory, { recursive: true });
  const ready = `curl -s -m 2 -X POST http://${rack.addresses[index]}/boot/${mac}/ready`;
  const { program = ["sh", "-c", `while :; do ${ready}; sleep 0.2; done`] } = machine;
  const argv = ["nsenter", `--net=/run/netns/${namespace}`, ...program];
  await writeFile(join(directory, "qemu"), `${argv.join("\n")}\n`);
  await startBmc({
    ...{ name, directory, stateDirectory, address: bmcAddress, port: 623, user: "admin", password: PASSWORD },
    start: rack.network.start,
    run: rack.network.run,
  });
  const passwordFile = join(stateDirectory, "bmc", `${name}.password`);
  await writeFile(passwordFile, PASSWORD, { mode: 0o400 });
  await chown(passwordFile, NOBODY, NOBODY);
  const bmc = ["--bmc", `ipmi://admin@${bmcAddress}:623`, "--bmc-password-file", passwordFile];
  const nic = ["--mac", mac, "--network", `prov${index}`, "--address", address, "--firmware", "bios"];
  const project = rack.projects?.[index];
  const isolated = project === undefined ? [] : ["--project", project, "--port", cable];
  await rack.ingot("node", "add", name, ...nic, ...bmc, ...isolated);
  return directory;
}
