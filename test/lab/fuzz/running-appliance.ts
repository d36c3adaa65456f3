import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ApiClient } from "../../../src/cli/api-client.ts";
import { findProcess } from "../lab-state.ts";
import { attachNodeSide, type NodeSide } from "../node-side.ts";
import { createRack, type Rack } from "../rack.ts";
import type { FuzzReport, FuzzTask } from "./report.ts";
import { type Resources, resourcesOf } from "./resources.ts";

const HONEST = Array.from({ length: 32 }, (_, index) => ({
  name: `honest-${index}`,
  mac: `52:54:00:77:02:${(index + 1).toString(16).padStart(2, "0")}`,
  address: `10.77.16.${index + 1}`,
}));

/** An appliance with nodes without BMCs, one of them provisioned, and the other end of its cable. */
export type FuzzedAppliance = {
  rack: Rack;
  /** Fuzzes one of its servers; rejects when ingotd ended or an honest node was not served. */
  fuzz(task: Pick<FuzzTask, "protocol" | "count" | "seed">): Promise<FuzzReport>;
  /** What ingotd holds now. */
  resources(): Promise<Resources>;
};

/** Makes it; an earlier one in that state directory goes. */
export async function createFuzzedAppliance(place: {
  stateDirectory: string;
  name: string;
  control: number;
}): Promise<FuzzedAppliance> {
  const config = { log: { level: "info" }, operations: { loginSeconds: 86_400 } };
  const rack = await createRack({ ...place, prefix: 16, config });
  const nodes = await attachNodeSide(rack, "10.77.254.254/16", "10.77.16.0/20");
  const image = join(rack.stateDirectory, "image.raw");
  writeFileSync(image, Buffer.alloc(1024 ** 2, "boot"));
  await rack.importImage("any", image);
  const api = new ApiClient({ socket: rack.apiSocket });
  for (const { name, mac, address } of HONEST) {
    const nics = [{ mac, address, role: "boot", network: "prov0" }];
    await api.post("/v1/nodes", { name, nics, firmware: "bios", power: { driver: "manual" } });
  }
  await rack.ingot("provision", "honest-0", "--image", "any", "--no-wait");
  for (const action of ["switch-off", "switch-on"]) await confirmed(rack, action);
  return {
    rack,
    fuzz: (task) => fuzz(rack, nodes, task),
    resources: async () => resourcesOf(await pidOfIngotd(rack)),
  };
}

async function pidOfIngotd(rack: Rack): Promise<number> {
  const pid = await findProcess(rack.stateDirectory, "ingotd");
  if (pid === undefined) throw new Error("ingotd does not run");
  return pid;
}

async function confirmed(rack: Rack, action: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const answer = await rack.ingot("node", "confirm", "honest-0").catch((error) => error as Error);
    if (!(answer instanceof Error)) return;
    if (Date.now() > deadline) throw new Error(`nobody asks for ${action}`, { cause: answer });
  }
}

async function fuzz(
  rack: Rack,
  nodes: NodeSide,
  { protocol, count, seed }: Pick<FuzzTask, "protocol" | "count" | "seed">,
): Promise<FuzzReport> {
  const pid = await pidOfIngotd(rack);
  const server = rack.addresses[0] as string;
  const task: FuzzTask = { protocol, count, seed, server, interface: nodes.interface, honest: HONEST, pid };
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
