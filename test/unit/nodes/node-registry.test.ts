import { expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { configSchema } from "../../../src/config/schema.ts";
import { type NewNode, NodeRegistry } from "../../../src/nodes/node-registry.ts";
import { parseIpv4 } from "../../../src/values/ipv4.ts";
import { MemoryRecords, mac } from "../boot/boot-fixtures.ts";

const config = configSchema.parse({
  networks: [
    {
      name: "prov",
      interface: "prov0",
      address: "10.20.0.1",
      subnet: "10.20.0.0/24",
      portals: [{ address: "10.20.0.1" }],
      tgtd: { control: 1 },
    },
  ],
});
const address = parseIpv4("10.20.0.7");
const newNode = (name: string): NewNode => ({
  name,
  project: "default",
  nics: [{ mac, role: "boot", network: "prov", address }],
  firmware: "bios",
  loader: "auto",
  power: { driver: "manual" },
});

function registry(records = new MemoryRecords()): { nodes: NodeRegistry; records: MemoryRecords } {
  return { records, nodes: new NodeRegistry({ records, config, clock: systemClock }) };
}

it("gives a card to one of two nodes that are registered at once", async () => {
  const { nodes } = registry();
  const outcomes = await Promise.allSettled([nodes.add(newNode("a"), "test"), nodes.add(newNode("b"), "test")]);
  expect(outcomes).toMatchObject([
    { status: "fulfilled" },
    { reason: { code: "EXISTS", details: { field: "nics[0].mac" } } },
  ]);
  expect(nodes.findByMac(mac)?.name).toBe("a");
});

it("has nothing of a node that could not be written", async () => {
  const { nodes, records } = registry();
  records.failing = true;
  await expect(nodes.add(newNode("a"), "test")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(nodes.findByMac(mac)).toBeUndefined();
  expect(nodes.isReserved(address)).toBe(false);
});

it("leaves a machine whose drives hold what a project wrote that is no more to an operator's word", async () => {
  const { nodes, records } = registry();
  const dirty = { project: "red", since: 1 };
  await records.commit([
    { collection: "projects", key: "green", value: { name: "green", createdAt: 0, requestedBy: "test" } },
    { collection: "unwipedCards", key: mac, value: dirty },
  ]);
  await expect(nodes.add({ ...newNode("a"), project: "green" }, "test")).rejects.toMatchObject({
    code: "CONFLICT",
    details: { remedy: expect.stringContaining("as default's") },
  });
  expect(await nodes.add(newNode("a"), "test")).toMatchObject({ dirty });
});
