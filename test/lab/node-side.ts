import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { recordNamespace } from "./lab-state.ts";
import { runProgram } from "./program.ts";
import type { Rack } from "./rack.ts";

/** A namespace at the nodes' end of a rack's first network, for programs that play machines. */
export type NodeSide = {
  namespace: string;
  /** Its interface; every address of `addresses` is this one's. */
  interface: string;
  /** Runs a program there to its end and answers its output. */
  run(...argv: string[]): Promise<string>;
  /** Starts one. */
  start(argv: string[], stdio: StdioOptions): ChildProcess;
};

const INTERFACE = "node0";

/** Cables it to the rack. It goes with the rack. `addresses` is a subnet whose addresses machines may have there. */
export async function attachNodeSide(rack: Rack, own: string, addresses: string): Promise<NodeSide> {
  const namespace = `${rack.network.namespace}-n`;
  await recordNamespace(rack.stateDirectory, namespace);
  await runProgram("ip", ["netns", "add", namespace]);
  await rack.network.run(["ip", "link", "add", "nodes", "type", "veth", "peer", "name", INTERFACE]);
  await rack.network.run(["ip", "link", "set", "nodes", "master", "prov0", "up"]);
  await rack.network.run(["ip", "link", "set", INTERFACE, "netns", `/run/netns/${namespace}`]);
  const enter = `--net=/run/netns/${namespace}`;
  const run = (...argv: string[]) => runProgram("nsenter", [enter, ...argv]);
  await run("ip", "link", "set", "lo", "up");
  await run("ip", "address", "add", own, "brd", "+", "dev", INTERFACE);
  await run("ip", "link", "set", INTERFACE, "up");
  // every address of the range is this machine's, without a thousand commands
  await run("ip", "route", "add", "local", addresses, "dev", INTERFACE);
  await run("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000", "net.ipv4.ip_unprivileged_port_start=0");
  return {
    namespace,
    interface: INTERFACE,
    run,
    start: (argv, stdio) => spawn("nsenter", [enter, ...argv], { stdio }),
  };
}
