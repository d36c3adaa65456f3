/** Provisioning where another DHCP server gives the addresses, or may come to. */
import { afterEach, beforeEach, expect, it } from "vitest";
import type { DhcpState } from "../../../src/dhcp/standing.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { bootEntryOf } from "../../../src/operations/attachment.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { provision } from "../../../src/operations/provision.ts";
import { newNode, settled, World } from "./world.ts";

let world: World;
let appliance: Appliance;

beforeEach(async () => {
  world = new World();
  appliance = await world.start();
});
afterEach(() => world.end());

const leases = () => [...appliance.records.collection<{ mac: string }>("leases").values()];

it.each([
  ["proxy", "proxy", 0],
  ["off", "off", 0],
  ["auto", "proxy", 0],
  ["auto", "server", 1],
] as const)("with %s as %s binds the disk to the node's name, and pins %i addresses", async (mode, role, pins) => {
  const [network] = appliance.config.networks;
  const before = network!.dhcp;
  try {
    network!.dhcp = mode;
    appliance.dhcp = () => ({ mode, role, foreign: [] }) satisfies DhcpState;
    const image = { project: "default", name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true };
    await settled(appliance, await importImage(appliance, image as Parameters<typeof importImage>[1], "test"));
    const node = await appliance.nodes.add(newNode("node1", 1), "test");
    const operation = await provision(appliance, { node: "node1", image: "golden" }, "test");
    expect((await settled(appliance, operation)).state).toBe("done");
    const entry = bootEntryOf(appliance.records, node.id);
    expect(entry).not.toHaveProperty("address");
    expect([...world.targets.targets.values()].map(({ openTo }) => openTo)).toEqual([entry!.initiator]);
    expect(leases()).toHaveLength(pins);
    const release = await deprovision(appliance, { node: "node1", disk: "keep", now: true }, "test");
    expect((await settled(appliance, release)).state).toBe("done");
    expect([leases(), world.targets.targets.size]).toEqual([[], 0]);
  } finally {
    network!.dhcp = before;
  }
});
