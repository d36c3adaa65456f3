import { z } from "@hono/zod-openapi";
import { type Caller, holdsEverywhere, seesProject } from "../../../access/caller.ts";
import type { NetworkConfig } from "../../../config/schema.ts";
import type { NetworkRecord } from "../../../networks/network.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { nameFrom } from "../../../projects/owned-things.ts";

/** A network that a project's nodes may be in. */
export const networkSchema = z
  .object({
    name: z.string().openapi({ description: "`OWNER/NAME` for one that another project shares" }),
    kind: z.enum(["tenant", "provisioning"]).openapi({ description: "Provisioning networks are the configuration's" }),
    id: z.string().optional(),
    owner: z.string().optional().openapi({ description: "Absent for a provisioning network of all projects" }),
    vlan: z.int().optional(),
    ready: z.boolean().openapi({ description: "Whether it is made: only then may NICs be put into it" }),
    sharedWith: z.array(z.string()).optional().openapi({ description: "For its owner to see" }),
    members: z
      .array(z.object({ node: z.string(), nic: z.string(), channel: z.enum(["native", "tagged"]) }))
      .openapi({ description: "NICs of nodes that the caller sees" }),
  })
  .openapi("Network");

/** As a project sees it. */
export function viewNetwork(
  { networks, nodes }: Appliance,
  network: NetworkRecord,
  project: string,
  caller: Caller,
): z.infer<typeof networkSchema> {
  const { id, vlan, ready, sharedWith, project: owner } = network;
  const members = networks.membersOf(id).flatMap(({ node: nodeId, channel, isolated: { nic } }) => {
    const node = nodes.find(nodeId);
    return node && seesProject(caller, node.project) ? [{ node: node.name, nic, channel }] : [];
  });
  return {
    ...{ name: nameFrom(project, network), kind: "tenant" as const, id, owner, ready, members },
    ...(vlan === undefined ? {} : { vlan }),
    ...(owner === project && sharedWith ? { sharedWith } : {}),
  };
}

/** A provisioning network as a project sees it that may boot on it. */
export function viewProvisioning(
  { name, project: owner, vlan }: NetworkConfig,
  caller: Caller,
): z.infer<typeof networkSchema> {
  return {
    ...{ name, kind: "provisioning" as const, ready: true, members: [] },
    ...(owner === undefined ? {} : { owner }),
    ...(vlan !== undefined && holdsEverywhere(caller, "network:read") ? { vlan } : {}),
  };
}
