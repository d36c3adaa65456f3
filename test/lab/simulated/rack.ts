import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ApiClient } from "../../../src/cli/api-client.ts";
import { attachNodeSide, type NodeSide } from "../node-side.ts";
import { createRack, type Rack } from "../rack.ts";

/** A machine that exists on the wire alone. */
export type Machine = { name: string; mac: string; address: string };

/** An appliance, machines without BMCs that are registered there, and the end of the cable where programs play them. */
export type SimulatedRack = { rack: Rack; nodes: NodeSide; machines: Machine[]; image: Buffer };

const IMAGE_BYTES = 2 * 1024 ** 2;

/** Makes it, the first `provisioned` machines with a disk each; an earlier rack in that state directory goes. */
export async function createSimulatedRack(
  place: { stateDirectory: string; name: string; control: number },
  { machines: count, provisioned }: { machines: number; provisioned: number },
): Promise<SimulatedRack> {
  const config = { log: { level: "info" }, operations: { loginSeconds: 86_400 } };
  const rack = await createRack({ ...place, prefix: 16, config });
  const nodes = await attachNodeSide(rack, "10.77.254.254/16", "10.77.16.0/20");
  const image = Buffer.alloc(IMAGE_BYTES);
  for (let at = 0; at < IMAGE_BYTES; at += 4) image.writeUInt32BE(at, at);
  const file = join(rack.stateDirectory, "image.raw");
  writeFileSync(file, image);
  await rack.importImage("numbers", file);
  const api = new ApiClient({ socket: rack.apiSocket });
  const machines = Array.from({ length: count }, (_, index) => machine(index + 1));
  for (const { name, mac, address } of machines) {
    const nics = [{ mac, address, role: "boot", network: "prov0" }];
    await api.post("/v1/nodes", { name, nics, firmware: "uefi", power: { driver: "manual" } });
  }
  for (const { name } of machines.slice(0, provisioned)) {
    await rack.ingot("provision", name, "--image", "numbers", "--no-wait");
    for (const action of ["switch-off", "switch-on"]) await confirmed(api, name, action);
  }
  return { rack, nodes, machines, image };
}

function machine(number: number): Machine {
  const last = number.toString(16).padStart(2, "0");
  return { name: `machine-${number}`, mac: `52:54:00:77:02:${last}`, address: `10.77.16.${number}` };
}

async function confirmed(api: ApiClient, node: string, action: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const answer = await api.post(`/v1/nodes/${node}/power/confirm`).catch((error) => error as Error);
    if (!(answer instanceof Error)) return;
    if (Date.now() > deadline) throw new Error(`nobody asks for ${action}`, { cause: answer });
  }
}
