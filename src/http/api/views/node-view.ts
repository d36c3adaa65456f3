import { z } from "@hono/zod-openapi";
import { type Caller, holdsEverywhere, seesProject } from "../../../access/caller.ts";
import type { BootEntry } from "../../../boot/boot-entry.ts";
import type { NodeRecord } from "../../../nodes/node.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { bootEntryOf, dataDisksOf } from "../../../operations/attachment.ts";
import { stallOf } from "../../../operations/stalls.ts";
import { nameFrom } from "../../../projects/owned-things.ts";
import type { Mac } from "../../../values/mac.ts";
import { stallSchema, viewStall } from "./stall-view.ts";
import { moment, momentSchema } from "./text.ts";

/** A node as the API shows it: the BMC's password is named, never read. */
export const nodeSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    project: z.string(),
    nics: z.array(
      z.object({
        mac: z.string(),
        role: z.enum(["boot", "data"]),
        network: z.string().optional(),
        address: z.string().optional().openapi({ description: "Fixed by an operator" }),
        port: z.string().optional().openapi({ description: "What the network isolator calls it" }),
        networks: z
          .array(z.object({ network: z.string(), channel: z.enum(["native", "tagged"]) }))
          .openapi({ description: "Tenants' networks that it is in" }),
      }),
    ),
    firmware: z.enum(["bios", "uefi"]),
    loader: z.enum(["auto", "ours"]),
    power: z.object({
      driver: z.enum(["ipmi", "hil", "manual"]),
      hilNode: z.string().optional().openapi({ description: "What HIL calls the node, where that is another name" }),
      address: z.string().optional(),
      port: z.int().optional(),
      user: z.string().optional(),
      passwordFile: z.string().optional(),
      passwordEnvironment: z.string().optional(),
    }),
    isolatedAs: z.string().optional().openapi({ description: "What the network isolator calls the node, if not so" }),
    dirty: z
      .object({ project: z.string().optional(), since: momentSchema })
      .optional()
      .openapi({ description: "Since when an OS may have written to its own drives, and whose; absent once wiped" }),
    boots: z
      .object({
        disk: z.string().openapi({ description: "Its name" }),
        diskId: z.string(),
        dataDisks: z
          .array(z.object({ disk: z.string(), diskId: z.string(), lun: z.int(), readOnly: z.boolean() }))
          .openapi({ description: "What it has beside that disk, by LUN" }),
        network: z.string(),
        address: z
          .string()
          .optional()
          .openapi({ description: "Its own there; absent where another DHCP server gives addresses" }),
        once: z.boolean(),
        since: momentSchema,
        armed: z.boolean().openapi({ description: "Whether its next boot request gets the disk's secret" }),
        unarmedRequest: z
          .object({
            since: momentSchema,
            lastAt: momentSchema,
            times: z.int(),
            finding: z.string(),
            remedy: z.string(),
          })
          .optional()
          .openapi({ description: "Boot requests that got no secret since its OS came up" }),
        readBytes: z.int().openapi({ description: "Read from its disks since ingotd saw it first" }),
        writtenBytes: z.int(),
      })
      .optional()
      .openapi({ description: "What it boots; absent for a free node" }),
    lastLoader: z.object({ file: z.string(), why: z.string().optional() }).optional().openapi({
      description: "The loader that its latest boot was given, and why if it is not the first of its class",
    }),
    stall: stallSchema.optional().openapi({ description: "How its boot stands still; absent while it goes on" }),
    operation: z.string().optional().openapi({ description: "Id of the operation that is at it now" }),
    createdAt: momentSchema,
    requestedBy: z.string(),
  })
  .openapi("Node");

/** A node as the API shows it: with its boot, its stall and the operation that is at it. Where its BMC is, tenants need not know. */
export function viewNode(appliance: Appliance, node: NodeRecord, caller: Caller): z.infer<typeof nodeSchema> {
  const { id, name, project, firmware, loader, requestedBy } = node;
  const stall = stallOf(appliance, id);
  return {
    id,
    name,
    project,
    nics: node.nics.map(({ mac, role, network, address, port }) => ({
      ...{ mac, role, network, address, port },
      networks: viewMemberships(appliance, node, mac),
    })),
    firmware,
    loader,
    power: holdsEverywhere(caller, "node:read") ? viewPower(node.power) : { driver: node.power.driver },
    isolatedAs: node.isolatedAs,
    dirty: node.dirty && {
      ...(seesProject(caller, node.dirty.project) ? { project: node.dirty.project } : {}),
      since: moment(node.dirty.since),
    },
    boots: viewBootEntry(appliance, id),
    lastLoader: viewLoader(appliance, node),
    stall: stall && viewStall(stall),
    operation: appliance.runner.holder(id),
    createdAt: moment(node.createdAt),
    requestedBy,
  };
}

function viewMemberships({ networks }: Appliance, { id, project }: NodeRecord, nic: Mac) {
  return networks.membershipsOf(id).flatMap(({ mac, network, channel }) => {
    const found = mac === nic ? networks.find(network) : undefined;
    return found ? [{ network: nameFrom(project, found), channel }] : [];
  });
}

function viewLoader({ boots }: Appliance, { nics }: NodeRecord): z.infer<typeof nodeSchema>["lastLoader"] {
  const nic = nics.find(({ role }) => role === "boot");
  const boot = nic && boots.current(nic.mac);
  const file = boot?.stages.find((one) => one.file !== undefined && one.stage !== "script")?.file;
  const why = boot?.stages.find((one) => one.why !== undefined)?.why;
  return file === undefined ? undefined : { file, ...(why ? { why } : {}) };
}

function viewPower(power: NodeRecord["power"]): z.infer<typeof nodeSchema>["power"] {
  if (power.driver !== "ipmi") return { ...power };
  const { driver, address, port, user, passwordFile, passwordEnvironment } = power;
  return { driver, address, port, user, passwordFile, passwordEnvironment };
}

function viewBootEntry(appliance: Appliance, node: string): z.infer<typeof nodeSchema>["boots"] {
  const entry = bootEntryOf(appliance.records, node);
  if (!entry) return undefined;
  const { disk, network, address, once, iqn } = entry;
  const name = appliance.disks.find(disk)?.name ?? disk;
  return {
    disk: name,
    diskId: disk,
    dataDisks: dataDisksOf(appliance.records, node).map(({ id, name, dataLun }) => ({
      disk: name,
      diskId: id,
      ...dataLun,
    })),
    network,
    ...(address ? { address } : {}),
    once,
    since: moment(entry.createdAt),
    ...viewArming(appliance, entry),
    ...appliance.traffic.of(iqn),
  };
}

function viewArming({ config, unarmedRequests }: Appliance, entry: BootEntry) {
  if (entry.disarmedAt === undefined || config.arming === "open") return { armed: true };
  const request = unarmedRequests.get(entry);
  if (!request) return { armed: false };
  const { since, lastAt, times, finding, remedy } = request;
  return { armed: false, unarmedRequest: { since: moment(since), lastAt: moment(lastAt), times, finding, remedy } };
}
