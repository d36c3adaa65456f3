import { once } from "node:events";
import { join } from "node:path";
import { findProcess } from "../lab-state.ts";
import type { Rack } from "../rack.ts";
import type { SimulatedRack } from "../simulated/rack.ts";
import type { FuzzReport, FuzzTask } from "./report.ts";
import { type Resources, resourcesOf } from "./resources.ts";

/** Fuzzes one server of the rack's ingotd; rejects when ingotd ended or an honest machine was not served. */
export async function fuzz(
  { rack, nodes, machines }: SimulatedRack,
  { protocol, count, seed }: Pick<FuzzTask, "protocol" | "count" | "seed">,
): Promise<FuzzReport> {
  const pid = await pidOfIngotd(rack);
  const server = rack.addresses[0] as string;
  const task: FuzzTask = { protocol, count, seed, server, interface: nodes.interface, honest: machines, pid };
  const child = nodes.start([process.execPath, join(import.meta.dirname, "main.ts"), JSON.stringify(task)], "pipe");
  let output = "";
  let complaint = "";
  child.stdout?.on("data", (text) => {
    output += text;
  });
  child.stderr?.on("data", (text) => {
    complaint += text;
  });
  const [code] = await once(child, "close");
  if ((await findProcess(rack.stateDirectory, "ingotd")) !== pid) throw new Error(`ingotd ended\n${complaint}`);
  if (code !== 0) throw new Error(`${protocol}, seed ${seed}: ${complaint}`);
  return JSON.parse(output.trim().split("\n").at(-1) as string);
}

/** What ingotd holds now. */
export async function resourcesOfIngotd(rack: Rack): Promise<Resources> {
  return resourcesOf(await pidOfIngotd(rack));
}

async function pidOfIngotd(rack: Rack): Promise<number> {
  const pid = await findProcess(rack.stateDirectory, "ingotd");
  if (pid === undefined) throw new Error("ingotd does not run");
  return pid;
}
