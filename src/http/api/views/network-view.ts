import { z } from "@hono/zod-openapi";
import type { DiscoveredMachine } from "../../../boot/discovered.ts";
import type { LeaseRecord } from "../../../leases/lease.ts";
import type { NodeRegistry } from "../../../nodes/node-registry.ts";
import { moment, momentSchema } from "./text.ts";

/** Whose an address of a network is. */
export const leaseSchema = z
  .object({
    address: z.string(),
    network: z.string(),
    mac: z.string(),
    node: z.string().optional().openapi({ description: "Name of the node that has this NIC" }),
    state: z.enum(["bound", "pinned", "declined"]),
    expiresAt: momentSchema.optional().openapi({ description: "Absent for a pinned address: it stays" }),
    hostname: z.string().optional(),
  })
  .openapi("Lease");

/** A lease as the API shows it: with the node that has the NIC. */
export function viewLease(nodes: NodeRegistry, lease: LeaseRecord): z.infer<typeof leaseSchema> {
  const { address, network, mac, state, hostname } = lease;
  const expiresAt = state === "pinned" ? undefined : moment(lease.expiresAt);
  return { address, network, mac, node: nodes.findByMac(mac)?.name, state, expiresAt, hostname };
}

/** A machine that asked to boot and that nobody registered. */
export const discoveredSchema = z
  .object({
    mac: z.string(),
    network: z.string().optional(),
    address: z.string().optional(),
    firmware: z.string().optional(),
    architecture: z.int().optional().openapi({ description: "RFC 4578 2.1" }),
    uuid: z.string().optional(),
    vendorClass: z.string().optional(),
    firstSeenAt: momentSchema,
    lastSeenAt: momentSchema,
  })
  .openapi("Discovered");

/** A discovered machine as the API shows it. */
export function viewDiscovered(machine: DiscoveredMachine): z.infer<typeof discoveredSchema> {
  const { mac, network, address, firmware, architecture, uuid, vendorClass, firstSeenAt, lastSeenAt } = machine;
  return {
    mac,
    network,
    address,
    firmware,
    architecture,
    uuid,
    vendorClass,
    firstSeenAt: moment(firstSeenAt),
    lastSeenAt: moment(lastSeenAt),
  };
}
