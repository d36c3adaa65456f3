import { z } from "@hono/zod-openapi";
import type { Appliance } from "../../../operations/appliance.ts";
import type { Finding } from "../../../operations/doctor/finding.ts";
import type { SystemStatus } from "../../../operations/status.ts";
import { formatSubnet } from "../../../values/ipv4.ts";
import { dhcpSchema, viewDhcp } from "./dhcp-view.ts";
import { operationSchema, viewOperation } from "./operation-view.ts";
import { poolFillSchema } from "./pool-view.ts";
import { moment, momentSchema } from "./text.ts";

/** The appliance at a glance; the pool may be a failure in place of its fill. */
export const statusSchema = z
  .object({
    appliance: z.string().openapi({ description: "Its immutable id" }),
    version: z.string(),
    uptimeSeconds: z.int(),
    networks: z.array(
      z.object({
        name: z.string(),
        interface: z.string(),
        address: z.string(),
        subnet: z.string(),
        portals: z.array(z.string()),
        leases: z.int(),
        dhcp: dhcpSchema.optional(),
      }),
    ),
    pool: z.union([poolFillSchema, z.object({ code: z.string(), message: z.string() })]),
    counts: z.object({
      nodes: z.int(),
      provisioned: z.int(),
      stalled: z.int().openapi({ description: "Nodes whose boot stands still" }),
      images: z.int(),
      disks: z.int(),
      deleted: z.int().openapi({ description: "Disks that can be undeleted; not among `disks`" }),
      leases: z.int(),
      discovered: z.int(),
    }),
    schedules: z.object({
      disks: z.int().openapi({ description: "That have their snapshots taken by themselves" }),
      failures: z
        .array(z.object({ disk: z.string(), project: z.string(), at: momentSchema, message: z.string() }))
        .openapi({ description: "Those whose last one could not be taken" }),
    }),
    operations: z.array(operationSchema).openapi({ description: "Those that are not over" }),
  })
  .openapi("Status");

/** `process`: what the status itself does not know. */
export function viewStatus(
  appliance: Appliance,
  status: SystemStatus,
  process: { version: string; uptimeSeconds: number; discovered: number },
): z.infer<typeof statusSchema> {
  const { version, uptimeSeconds, discovered } = process;
  return {
    appliance: appliance.id,
    version,
    uptimeSeconds,
    networks: status.networks.map(({ subnet, portals, dhcp, ...network }) => ({
      ...network,
      dhcp: dhcp && viewDhcp(dhcp),
      subnet: formatSubnet(subnet),
      portals: portals.map(({ address, port }) => `${address}:${port}`),
    })),
    pool: "code" in status.pool ? status.pool : poolFillSchema.parse(status.pool),
    counts: { ...status.counts, discovered },
    schedules: {
      ...status.schedules,
      failures: status.schedules.failures.map((failure) => ({ ...failure, at: moment(failure.at) })),
    },
    operations: status.operations.map((operation) => viewOperation(appliance, operation)),
  };
}

/** One answer of the doctor's checks. */
export const findingSchema = z
  .object({
    check: z.string(),
    subject: z.string(),
    state: z.enum(["ok", "warning", "failed"]),
    message: z.string(),
    remedy: z.string().optional(),
  })
  .openapi("Finding");

/** A finding as the API shows it. */
export function viewFinding({ check, subject, state, message, remedy }: Finding): z.infer<typeof findingSchema> {
  return { check, subject, state, message, remedy };
}
