import { once } from "node:events";
import { chownSync } from "node:fs";
import { join, resolve } from "node:path";
import { NOBODY } from "../../lab/as-nobody.ts";
import { findProcess } from "../../lab/lab-state.ts";
import { attachNodeSide } from "../../lab/node-side.ts";
import { installPackages } from "../../lab/packages.ts";
import { createRack, type Rack, type RackOptions } from "../../lab/rack.ts";

/** What a program beside the nodes' end of the cable must know; handed to it as JSON, its only argument. */
export type ClientFacts = {
  apiSocket: string;
  /** The appliance's address on the provisioning network. */
  server: string;
  /** The interface at the nodes' end. */
  interface: string;
  ingotd: { pid: number; loopDelayFile: string };
  importDirectory: string;
  store: "file" | "rbd";
  /** Where the program may leave what it measured, for whoever ran it. */
  resultsFile: string;
};

/** A real appliance, and a namespace on its provisioning network whose programs play nodes: all of 10.77.16.0/20 is theirs. */
export type BenchAppliance = {
  rack: Rack;
  /** Where a program leaves what it measured, if it does. */
  resultsFile: string;
  /** Runs a program of this folder at the nodes' end, with the rest of our own arguments; answers its exit code. */
  runClient(program: string): Promise<number>;
  destroy(): Promise<void>;
};

/** The addresses that nodes are given, from 0 on. */
export function nodeAddress(index: number): string {
  return `10.77.${16 + (index >> 8)}.${index & 0xff}`;
}

/** MAC of the node with that number. */
export function nodeMac(index: number): string {
  const bytes = [index >> 16, (index >> 8) & 0xff, index & 0xff];
  return `52:54:01:${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;
}

/** Makes it; an earlier one of that name goes. */
export async function createBenchAppliance(
  options: Pick<RackOptions, "name" | "control" | "config" | "networkConfig" | "poolBytes" | "storage">,
): Promise<BenchAppliance> {
  const { storage: store = "file" } = options;
  installPackages(["lab", ...(store === "rbd" ? ["ceph"] : [])]);
  const stateDirectory = resolve(`/var/tmp/ingot-bench-${options.name}`);
  const rack = await createRack({ ...options, stateDirectory, prefix: 16 });
  const nodes = await attachNodeSide(rack, "10.77.254.254/16", "10.77.16.0/20");

  await rack.end("ingotd");
  const loopDelayFile = join(stateDirectory, "run", "loop-delay.json");
  const preload = join(rack.network.repository, "test/bench/measure/loop-delay.ts");
  chownSync(join(stateDirectory, "run"), NOBODY, NOBODY);
  await rack.startIngotd({ environment: { NODE_OPTIONS: `--import ${preload}`, INGOT_LOOP_DELAY: loopDelayFile } });

  const resultsFile = join(stateDirectory, "results.json");
  return {
    rack,
    resultsFile,
    async runClient(program) {
      const pid = await findProcess(stateDirectory, "ingotd");
      if (pid === undefined) throw new Error("ingotd does not run");
      const facts: ClientFacts = {
        apiSocket: rack.apiSocket,
        server: rack.addresses[0] as string,
        interface: nodes.interface,
        ingotd: { pid, loopDelayFile },
        importDirectory: rack.importDirectory,
        store,
        resultsFile,
      };
      const argv = [process.execPath, join(import.meta.dirname, "..", program), JSON.stringify(facts)];
      const child = nodes.start([...argv, ...process.argv.slice(2)], "inherit");
      const [code] = (await once(child, "exit")) as [number | null];
      return code ?? 1;
    },
    destroy: () => rack.destroy(),
  };
}
